// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "evaluator/cuda/device_runtime.hpp"

namespace longrope::evaluator::cuda {

/// Queries of one head group against one segment of keys and values, all bfloat16.
/// Elements of head h, row r, component c: queries[h * query_head_stride + r * query_row_stride +
/// c], keys and values[h * key_head_stride + r * key_row_stride + c] with h a KV head, out the same
/// with its own strides. Each tensor spans fewer than 2^31 elements, strides included.
struct AttentionSegment {
    std::int64_t query_rows = 0;
    std::int64_t keys = 0;  ///< rows of keys and values; == query_rows where causal
    std::int64_t heads = 0;
    std::int64_t kv_heads = 0;  ///< divides heads; head h reads KV head h / (heads / kv_heads)
    std::int64_t head_dim = 0;
    bool causal = false;  ///< row r sees keys 0..r, else all
    float scale = 1.0F;   ///< multiplies the float32 scores: 1 / sqrt(head_dim)
    std::int64_t query_row_stride = 0;
    std::int64_t query_head_stride = 0;
    std::int64_t key_row_stride = 0;  ///< of keys and of values
    std::int64_t key_head_stride = 0;
    std::int64_t out_row_stride = 0;
    std::int64_t out_head_stride = 0;
};

/// Softmax attention over one segment, with what is needed to merge segments: cuDNN's scaled dot
/// product on a GPU, plain loops on the emulator. CudaOps uses few distinct shapes (one query
/// block, two lengths of key segments, one causal square, and the remainders of a document's last
/// block), so an implementation keeps a plan for each that it has seen.
///
/// Rows beyond the end of a document are part of query_rows and keys (CudaOps pads the last block
/// to a multiple of 128 rows): keys and values there are zero, queries any finite number, and what
/// comes out for such rows is not read.
class SegmentAttention {
public:
    SegmentAttention() = default;
    SegmentAttention(const SegmentAttention&) = delete;
    SegmentAttention& operator=(const SegmentAttention&) = delete;
    virtual ~SegmentAttention() = default;

    /// Queues out = softmax(scale * Q Kᵀ) V, normalised within the segment and rounded to bfloat16,
    /// and log_sum_exp[h * query_rows + r] = ln Σ_k exp(scale * q_r · k), natural, of the float32
    /// scores (cuDNN's "stats").
    /// @param queries      bfloat16
    /// @param keys,values  bfloat16
    /// @param out          bfloat16
    /// @param log_sum_exp  float32 [heads, query_rows], without gaps
    /// @throws EvaluatorError naming the shape that the device or the library does not serve, with
    ///         what would be served
    virtual void attend(const AttentionSegment& shape, const void* queries, const void* keys,
                        const void* values, void* out, float* log_sum_exp, Stream stream) = 0;
    /// Library, version and what was chosen, without ';': part of the numerics class.
    [[nodiscard]] virtual std::string version() const = 0;
    /// Device memory that it holds for itself, at most.
    [[nodiscard]] virtual std::uint64_t workspace_bytes() const noexcept = 0;
};

}  // namespace longrope::evaluator::cuda
