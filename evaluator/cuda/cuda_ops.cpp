// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/cuda_ops.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "evaluator/cuda/device_matrix.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"
#include "evaluator/cuda/layer_attention.hpp"
#include "evaluator/cuda/prepared_device.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/rotary_table.hpp"

namespace longrope::evaluator::cuda {
namespace {

/// What CUDA's context takes of a device before a program allocates anything, part of the plan's
/// reserve.
constexpr std::uint64_t context_bytes = std::uint64_t{512} << 20U;

/// The tensor's values rounded to bfloat16, into memory of that size; those stored so are copied.
void write_bfloat16(const TensorView& tensor, std::span<std::byte> out) {
    if (tensor.type == DataType::bf16) {
        std::memcpy(out.data(), tensor.bytes.data(), out.size());
        return;
    }
    // A block of rows at a time: widened whole, a vocabulary projection is a gigabyte.
    const std::int64_t rows = tensor.shape.at(0);
    const std::int64_t columns = tensor.elements() / rows;
    const std::int64_t step = std::max<std::int64_t>(1, (std::int64_t{1} << 20U) / columns);
    std::byte* to = out.data();
    for (std::int64_t first = 0; first < rows; first += step) {
        for (const float value : widen(tensor.rows(first, std::min(step, rows - first)))) {
            const std::uint16_t bits = bfloat16_bits(value);
            std::memcpy(to, &bits, sizeof bits);
            to += sizeof bits;
        }
    }
}

std::uint64_t bfloat16_bytes(const TensorView& tensor) {
    return static_cast<std::uint64_t>(tensor.elements()) * sizeof(Bfloat16);
}

class CudaOps final : public DeviceOps {
public:
    CudaOps(CudaDevice device, const ModelConfig& config, const CudaSettings& settings)
        : device_{std::move(device)},
          runtime_{*device_.runtime},
          stream_{runtime_.compute_stream()},
          config_{config},
          plan_{plan_on_device(runtime_, config, settings)},
          attention_{runtime_, *device_.attention, settings.tiles} {
        require_fit(plan_);
        if (plan_.placement == WeightPlacement::streamed) {
            streamed_.emplace(runtime_, plan_.layer_bytes);
        }
    }

    CudaOps(const CudaOps&) = delete;
    CudaOps& operator=(const CudaOps&) = delete;
    ~CudaOps() override {
        try {
            runtime_.synchronize(stream_);
        } catch (const EvaluatorError&) {  // the device is lost, and nothing runs on it
        }
    }

    std::int64_t chunk_rows() const noexcept override { return plan_.tiles.chunk_rows; }

    std::unique_ptr<Prepared> prepare_embedding(const TensorView& table) override {
        return prepare_table(table, "the embedding");
    }
    std::unique_ptr<Prepared> prepare_head(const TensorView& weights) override {
        return prepare_table(weights, "the vocabulary projection");
    }

    std::unique_ptr<Prepared> prepare_matrix(std::span<const TensorView> stacked) override {
        auto result = std::make_unique<CudaMatrix>();
        result->inputs = stacked[0].shape.at(1);
        for (const TensorView& part : stacked) result->size += bfloat16_bytes(part);
        const auto write = [&stacked](std::span<std::byte> out) {
            std::size_t at = 0;
            for (const TensorView& part : stacked) {
                const auto size = static_cast<std::size_t>(bfloat16_bytes(part));
                write_bfloat16(part, out.subspan(at, size));
                at += size;
            }
        };
        if (streamed_) {
            const auto [place, memory] = streamed_->add(result->size);
            result->streamed = place;
            write(memory);
        } else {
            std::vector<std::byte> values(result->size);
            write(values);
            result->resident = upload(values, "the matrices of a layer");
        }
        return result;
    }

    std::unique_ptr<Prepared> prepare_vector(const TensorView& values) override {
        std::vector<float> rounded = widen(values);
        round_to_bfloat16(rounded);  // as every stored weight
        auto result = std::make_unique<CudaVector>();
        result->memory = upload(std::as_bytes(std::span{rounded}), "a vector of weights");
        return result;
    }

    std::unique_ptr<Prepared> prepare_tokens(std::span<const std::int32_t> tokens) override {
        make_room_for(tokens.size());
        auto result = std::make_unique<CudaVector>();
        result->memory = upload(std::as_bytes(tokens), "the tokens of a document");
        return result;
    }

    std::unique_ptr<Prepared> prepare_rotary(const RotaryTable& table) override {
        auto result = std::make_unique<CudaRotary>();
        result->pairs = table.pairs();
        result->cosines = upload(std::as_bytes(table.cosines()), "the rotary table");
        result->sines = upload(std::as_bytes(table.sines()), "the rotary table");
        return result;
    }

    DeviceBuffer allocate(Storage storage, std::int64_t rows, std::int64_t columns) override {
        const std::int64_t size = storage == Storage::operand ? 2 : 4;
        const auto bytes = static_cast<std::uint64_t>(rows * columns * size);
        const char* purpose =
            storage == Storage::state ? "hidden states or losses" : "a chunk's products";
        std::byte* data = runtime_.allocate(bytes, purpose);
        DeviceBuffer buffer{DeviceMatrix{data, rows, columns, columns, size},
                            [this](std::byte* memory) { runtime_.release(memory); }};
        runtime_.fill_zero(data, bytes, stream_);
        return buffer;
    }

    void embed(const Prepared& embedding, const Prepared& tokens, std::int64_t first_position,
               const DeviceMatrix& out) override {
        cuda::embed(table_of(embedding).memory->as<Bfloat16>(), tokens_of(tokens) + first_position,
                    floats(out), stream_);
    }

    void rms_norm(const DeviceMatrix& in, const Prepared& weight, float epsilon,
                  const DeviceMatrix& out) override {
        cuda::rms_norm(floats(in), vector_of(weight), epsilon, bfloat16s(out), stream_);
    }

    void matmul(const DeviceMatrix& in, const Prepared& weights, const DeviceMatrix& out) override {
        multiply(in, weights, out, ProductOutput::f32);
    }

    void matmul_add(const DeviceMatrix& in, const Prepared& weights,
                    const DeviceMatrix& sum) override {
        multiply(in, weights, sum, ProductOutput::f32_add);
    }

    void add_bias(const DeviceMatrix& rows, const Prepared& bias) override {
        cuda::add_bias(floats(rows), vector_of(bias), stream_);
    }

    void rms_norm_heads(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& weight,
                        float epsilon) override {
        cuda::rms_norm_heads(floats(heads), head_dim, vector_of(weight), epsilon, stream_);
    }

    void rotate(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& rotary,
                std::int64_t first_position) override {
        const auto& table = static_cast<const CudaRotary&>(rotary);
        const std::int64_t first = first_position * table.pairs;
        cuda::rotate(floats(heads), head_dim, table.cosines.as<float>() + first,
                     table.sines.as<float>() + first, table.pairs, stream_);
    }

    void begin_layer_kv(const AttentionShape& shape, std::int64_t positions) override {
        attention_.begin(shape, positions, plan_.kv_heads_per_group);
    }

    void append_kv(const DeviceMatrix& keys, const DeviceMatrix& values,
                   std::int64_t first_position) override {
        attention_.append(keys, values, first_position);
    }

    void attend(const DeviceMatrix& queries, std::int64_t first_position,
                const DeviceMatrix& out) override {
        attention_.attend(queries, first_position, out);
    }

    void swiglu(const DeviceMatrix& gate_up, const DeviceMatrix& out) override {
        cuda::swiglu(floats(gate_up), bfloat16s(out), stream_);
    }

    void nll(const DeviceMatrix& in, const Prepared& head, const Prepared& tokens,
             std::int64_t first_position, const DeviceMatrix& out) override {
        assert(out.stride == 1);
        prepare_losses(in.rows, table_of(head).vocabulary);
        const std::int64_t step = plan_.tiles.loss_rows;
        for (std::int64_t row = 0; row < in.rows; row += step) {
            const std::int64_t rows = std::min(step, in.rows - row);
            losses_of(in.row_range(row, rows), table_of(head),
                      tokens_of(tokens) + first_position + row + 1,
                      floats(out.row_range(row, rows)).data);
        }
    }

    void download(const DeviceMatrix& from, std::span<float> values) override {
        assert(from.stride == from.columns);
        const std::span<std::byte> bytes = std::as_writable_bytes(values);
        runtime_.copy_to_host(bytes.data(), from.data, bytes.size(), stream_);
        runtime_.synchronize(stream_);
    }

private:
    /// What losses are made of, kept from one document to the next.
    struct LossWork {
        std::int64_t rows = 0;
        std::int64_t tile = 0;
        DeviceAllocation logits;   // float32 [rows, tile]
        DeviceAllocation running;  // float32 [3, rows]
    };

    static const CudaTable& table_of(const Prepared& prepared) {
        return static_cast<const CudaTable&>(prepared);
    }
    static const float* vector_of(const Prepared& prepared) {
        return static_cast<const CudaVector&>(prepared).memory.as<float>();
    }
    static const std::int32_t* tokens_of(const Prepared& prepared) {
        return static_cast<const CudaVector&>(prepared).memory.as<std::int32_t>();
    }

    [[nodiscard]] DeviceAllocation upload(std::span<const std::byte> values, const char* purpose) {
        DeviceAllocation memory{runtime_, values.size(), purpose};
        runtime_.copy_to_device(memory.data(), values.data(), values.size(), stream_);
        return memory;
    }

    [[nodiscard]] std::unique_ptr<Prepared> prepare_table(const TensorView& tensor,
                                                          const char* purpose) {
        auto result = std::make_unique<CudaTable>();
        result->vocabulary = tensor.shape.at(0);
        result->memory = last_table_values_.lock();
        result->counted = !result->memory || last_table_ != tensor.bytes.data();
        if (result->counted) {
            std::vector<std::byte> values(bfloat16_bytes(tensor));
            write_bfloat16(tensor, values);
            result->memory = std::make_shared<const DeviceAllocation>(upload(values, purpose));
            last_table_ = tensor.bytes.data();
            last_table_values_ = result->memory;
        }
        return result;
    }

    /// Takes a document longer than planned for if it fits with the weights where they are.
    void make_room_for(std::uint64_t positions) {
        if (positions <= plan_.positions) return;
        const MemoryPlan longer = plan_memory(config_, positions, {plan_.had_bytes}, plan_.tiles);
        require_fit(longer);
        if (longer.placement != plan_.placement) {
            throw EvaluatorError{fmt::format(
                "a document of {} positions needs {} bytes of device memory with all weights on "
                "the "
                "device and it has {}; the weights were placed there for documents of up to {} "
                "positions. Start with the longest document announced, and they are streamed",
                positions, longer.device_bytes() - longer.matrix_bytes + plan_.matrix_bytes,
                plan_.had_bytes, plan_.positions)};
        }
        plan_ = longer;
    }

    void multiply(const DeviceMatrix& in, const Prepared& weights, const DeviceMatrix& out,
                  ProductOutput output) {
        const auto& matrix = static_cast<const CudaMatrix&>(weights);
        assert(matrix.inputs == in.columns);
        const std::byte* values =
            streamed_ ? streamed_->on_device(matrix.streamed) : matrix.resident.data();
        device_.products->multiply({.rows = in.rows,
                                    .outputs = out.columns,
                                    .inputs = in.columns,
                                    .in_stride = in.stride,
                                    .weight_stride = matrix.inputs,
                                    .out_stride = out.stride,
                                    .output = output},
                                   in.data, values, out.data, stream_);
    }

    void prepare_losses(std::int64_t rows, std::int64_t vocabulary) {
        rows = std::min(rows, plan_.tiles.loss_rows);
        const std::int64_t tile = std::min(vocabulary, plan_.tiles.vocabulary_tile);
        if (losses_.rows >= rows && losses_.tile == tile) return;
        const auto bytes = [](std::int64_t floats) {
            return static_cast<std::uint64_t>(floats) * sizeof(float);
        };
        losses_ = {};
        losses_ = {.rows = rows,
                   .tile = tile,
                   .logits = DeviceAllocation{runtime_, bytes(rows * tile), "a tile of logits"},
                   .running = DeviceAllocation{runtime_, bytes(3 * rows), "running losses"}};
        // Written by cublasLt before it is read; compute-sanitizer, which looks at our kernels
        // alone, does not see that.
        runtime_.fill_zero(losses_.logits.data(), losses_.logits.bytes(), stream_);
    }

    /// @param targets  on the device [in.rows]; losses: there, too, without gaps
    void losses_of(const DeviceMatrix& in, const CudaTable& head, const std::int32_t* targets,
                   float* losses) {
        auto* running = losses_.running.as<float>();
        const RunningLoss terms{
            .max = running, .sum = running + losses_.rows, .target = running + 2 * losses_.rows};
        for (std::int64_t first = 0; first < head.vocabulary; first += losses_.tile) {
            const std::int64_t entries = std::min(losses_.tile, head.vocabulary - first);
            device_.products->multiply({.rows = in.rows,
                                        .outputs = entries,
                                        .inputs = in.columns,
                                        .in_stride = in.stride,
                                        .weight_stride = in.columns,
                                        .out_stride = losses_.tile,
                                        .output = ProductOutput::f32},
                                       in.data, head.memory->as<Bfloat16>() + first * in.columns,
                                       losses_.logits.data(), stream_);
            add_logits({losses_.logits.as<float>(), in.rows, entries, losses_.tile}, targets,
                       {.first_entry = first,
                        .first = first == 0,
                        .last = first + entries == head.vocabulary},
                       terms, losses, stream_);
        }
    }

    CudaDevice device_;
    DeviceRuntime& runtime_;
    Stream stream_;
    ModelConfig config_;
    MemoryPlan plan_;
    std::optional<StreamedWeights> streamed_;
    LayerAttention attention_;
    LossWork losses_;
    const std::byte* last_table_ = nullptr;  // where the last table lies in its file
    std::weak_ptr<const DeviceAllocation> last_table_values_;
};

}  // namespace

MemoryPlan plan_on_device(const DeviceRuntime& runtime, const ModelConfig& config,
                          const CudaSettings& settings) {
    DeviceMemory memory{
        std::min(runtime.facts().total_bytes, runtime.free_bytes() + context_bytes)};
    if (settings.memory_limit > 0) memory.total = std::min(memory.total, settings.memory_limit);
    return plan_memory(config, settings.longest_positions, memory, settings.tiles);
}

std::unique_ptr<DeviceOps> make_cuda_ops(CudaDevice device, const ModelConfig& config,
                                         const CudaSettings& settings) {
    if (settings.precision != Precision::bf16) {
        throw EvaluatorError{fmt::format(
            "precision = \"{}\": the cuda backend computes with bfloat16 operands and float32 sums "
            "alone: use precision = \"bf16\", or backend = \"cpu\"",
            precision_name(settings.precision))};
    }
    return std::make_unique<CudaOps>(std::move(device), config, settings);
}

std::string numerics_class(const CudaDevice& device, const CudaSettings& settings) {
    const DeviceFacts& facts = device.runtime->facts();
    return fmt::format("cuda-{};arch={}x{};products={};attention={};precision={};tile={}",
                       kernel_revision, facts.architecture, facts.multiprocessors,
                       device.products->version(), device.attention->version(),
                       precision_name(settings.precision), settings.tiles.text());
}

}  // namespace longrope::evaluator::cuda
