// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <utility>

#include "evaluator/model/tensor_view.hpp"

namespace longrope::evaluator {

class RotaryTable;

/// What the elements of a buffer are for; each backend chooses the type that serves.
enum class Storage : std::uint8_t {
    state,    ///< float32 always: the residual stream, losses
    operand,  ///< input of a matrix product: float32, or bfloat16 where the precision is bf16
    product,  ///< output of a matrix product, input of rotation, attention and SwiGLU
};

/// A view of a row-major matrix in device memory. `data` means something only to the DeviceOps that
/// allocated it: code outside a backend passes it on and takes row or column ranges of it, and
/// never dereferences it.
struct DeviceMatrix {
    std::byte* data = nullptr;
    std::int64_t rows = 0;
    std::int64_t columns = 0;
    std::int64_t stride = 0;  ///< elements from one row to the next
    std::int64_t element_bytes = 0;

    [[nodiscard]] DeviceMatrix row_range(std::int64_t first, std::int64_t count) const noexcept {
        return {data + first * stride * element_bytes, count, columns, stride, element_bytes};
    }
    [[nodiscard]] DeviceMatrix column_range(std::int64_t first, std::int64_t count) const noexcept {
        return {data + first * element_bytes, rows, count, stride, element_bytes};
    }
};

/// Owns the memory behind a DeviceMatrix. Move-only; must not outlive its DeviceOps.
class DeviceBuffer {
public:
    using Release = std::function<void(std::byte*)>;

    DeviceBuffer() = default;
    DeviceBuffer(const DeviceMatrix& view, Release release)
        : view_{view}, memory_{view.data, std::move(release)} {}

    [[nodiscard]] const DeviceMatrix& view() const noexcept { return view_; }

private:
    DeviceMatrix view_;
    std::unique_ptr<std::byte, Release> memory_{nullptr, [](std::byte*) {}};
};

/// Something a backend has prepared in a layout of its own: weights, tokens, a rotary table. Each
/// backend derives its kinds and accepts back only what it made.
class Prepared {
public:
    Prepared() = default;
    Prepared(const Prepared&) = delete;
    Prepared& operator=(const Prepared&) = delete;
    virtual ~Prepared() = default;

    [[nodiscard]] virtual std::uint64_t bytes() const noexcept = 0;  ///< memory held
};

struct AttentionShape {
    std::int64_t heads = 0;
    std::int64_t kv_heads =
        0;  ///< divides heads; query head h reads kv head h / (heads / kv_heads)
    std::int64_t head_dim = 0;
};

/// The operations of one device that the forward pass is written over. Rows are token positions.
/// Operations may be queued; only download waits. Results do not depend on how the rows of a
/// document are cut into calls, as long as every call starts at a multiple of chunk_rows().
/// Not thread-safe; several threads or streams behind it are the backend's own business.
/// Errors: EvaluatorError, naming the device and what was attempted.
class DeviceOps {
public:
    DeviceOps() = default;
    DeviceOps(const DeviceOps&) = delete;
    DeviceOps& operator=(const DeviceOps&) = delete;
    virtual ~DeviceOps() = default;

    /// Rows that one call should be given, and the grid on which calls begin.
    [[nodiscard]] virtual std::int64_t chunk_rows() const noexcept = 0;

    /// @param table  shape [vocabulary, hidden]; must outlive the result, which may read it in
    /// place
    [[nodiscard]] virtual std::unique_ptr<Prepared> prepare_embedding(const TensorView& table) = 0;
    /// Weights of y = x Wᵀ; several tensors are stacked, their outputs lying side by side.
    /// @param stacked  shapes [outputs_i, inputs], all with the same inputs
    [[nodiscard]] virtual std::unique_ptr<Prepared> prepare_matrix(
        std::span<const TensorView> stacked) = 0;
    /// The vocabulary projection as nll() wants it. @param weights  shape [vocabulary, hidden]
    [[nodiscard]] virtual std::unique_ptr<Prepared> prepare_head(const TensorView& weights) = 0;
    [[nodiscard]] virtual std::unique_ptr<Prepared> prepare_vector(const TensorView& values) = 0;
    [[nodiscard]] virtual std::unique_ptr<Prepared> prepare_tokens(
        std::span<const std::int32_t> tokens) = 0;
    /// @param table  must outlive the result, which may read it in place
    [[nodiscard]] virtual std::unique_ptr<Prepared> prepare_rotary(const RotaryTable& table) = 0;

    /// Zero-filled. A backend may add rows beyond `rows` for its own padding.
    [[nodiscard]] virtual DeviceBuffer allocate(Storage storage, std::int64_t rows,
                                                std::int64_t columns) = 0;

    /// out[r] = embedding[tokens[first_position + r]]; out: state [rows, hidden]
    virtual void embed(const Prepared& embedding, const Prepared& tokens,
                       std::int64_t first_position, const DeviceMatrix& out) = 0;
    /// out = in / sqrt(mean(in²) + epsilon) * weight, per row; in: state, out: operand
    virtual void rms_norm(const DeviceMatrix& in, const Prepared& weight, float epsilon,
                          const DeviceMatrix& out) = 0;
    /// out = in Wᵀ; in: operand [rows, inputs], out: product [rows, outputs]
    virtual void matmul(const DeviceMatrix& in, const Prepared& weights,
                        const DeviceMatrix& out) = 0;
    /// sum += in Wᵀ; in: operand [rows, inputs], sum: state [rows, outputs]
    virtual void matmul_add(const DeviceMatrix& in, const Prepared& weights,
                            const DeviceMatrix& sum) = 0;
    /// rows[r] += bias. rows: product or state [rows, columns], bias: [columns]
    virtual void add_bias(const DeviceMatrix& rows, const Prepared& bias) = 0;
    /// The norm of rms_norm() in place, for each head on its own.
    /// heads: product [rows, any number * head_dim], weight: [head_dim]
    virtual void rms_norm_heads(const DeviceMatrix& heads, std::int64_t head_dim,
                                const Prepared& weight, float epsilon) = 0;
    /// Rotates the first rotary_dim components of every head in place, in half-split layout: pair i
    /// is the components (i, i + rotary_dim / 2). heads: product [rows, any number * head_dim]
    virtual void rotate(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& rotary,
                        std::int64_t first_position) = 0;
    /// Forgets the keys and values held and makes room for a layer's `positions`.
    virtual void begin_layer_kv(const AttentionShape& shape, std::int64_t positions) = 0;
    /// keys (rotated), values: product [rows, kv_heads * head_dim]; in ascending order of position
    virtual void append_kv(const DeviceMatrix& keys, const DeviceMatrix& values,
                           std::int64_t first_position) = 0;
    /// Causal attention of the queries at first_position + r to the keys 0..first_position + r,
    /// which have been appended; scores are scaled by 1 / sqrt(head_dim).
    /// queries: product [rows, heads * head_dim], out: operand of the same shape
    virtual void attend(const DeviceMatrix& queries, std::int64_t first_position,
                        const DeviceMatrix& out) = 0;
    /// out = silu(gate) * up; gate_up: product [rows, 2 * inner], gate first; out: operand
    virtual void swiglu(const DeviceMatrix& gate_up, const DeviceMatrix& out) = 0;
    /// out[r] = -ln softmax(in[r] Wᵀ)[tokens[first_position + r + 1]], without keeping the logits.
    /// in: operand [rows, hidden], out: state [rows, 1]
    virtual void nll(const DeviceMatrix& in, const Prepared& head, const Prepared& tokens,
                     std::int64_t first_position, const DeviceMatrix& out) = 0;
    /// Waits for what was queued and copies a state matrix without gaps to the host.
    /// @param values  shape [from.rows * from.columns]
    virtual void download(const DeviceMatrix& from, std::span<float> values) = 0;
};

}  // namespace longrope::evaluator
