// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "evaluator/cuda/device_runtime.hpp"

namespace longrope::evaluator::cuda {

struct Bfloat16;
template <class Element>
struct Matrix;

/// Raised when the arithmetic of a kernel or the order of CudaOps' calls changes.
inline constexpr int kernel_revision = 1;

// What the files of this folder compute; shapes and launches are told there. All pointers are
// device memory; calls queue one launch each. Errors: EvaluatorError if a launch is refused.

/// out[r] = table[tokens[r]]; table: [vocabulary, out.columns] without gaps, tokens: [out.rows]
void embed(const Bfloat16* table, const std::int32_t* tokens, const Matrix<float>& out,
           Stream stream);
/// out = in / sqrt(mean(in²) + epsilon) * weight, per row; weight: [in.columns]
void rms_norm(const Matrix<const float>& in, const float* weight, float epsilon,
              const Matrix<Bfloat16>& out, Stream stream);
/// The same in place for every head_dim columns; weight: [head_dim]
void rms_norm_heads(const Matrix<float>& heads, std::int64_t head_dim, const float* weight,
                    float epsilon, Stream stream);
/// rows[r] += bias; bias: [rows.columns]
void add_bias(const Matrix<float>& rows, const float* bias, Stream stream);
/// Rotates the pairs (i, i + pairs) of every head in place; cosines, sines: [rows, pairs]
void rotate(const Matrix<float>& heads, std::int64_t head_dim, const float* cosines,
            const float* sines, std::int64_t pairs, Stream stream);

/// Where a head's rows lie after the split.
struct HeadStrides {
    std::int64_t row;   ///< elements from one row to the next
    std::int64_t head;  ///< elements from one head to the next
};
/// out[h * strides.head + r * strides.row + c] = in[r, h * head_dim + c], rounded
void split_heads(const Matrix<const float>& in, std::int64_t head_dim, Bfloat16* out,
                 HeadStrides strides, Stream stream);

/// Attention of some rows and heads to the segments seen so far.
struct MergedAttention {
    float* values;             ///< [rows, heads * head_dim] without gaps, normalised
    const float* log_sum_exp;  ///< as that of the segment; null: nothing was seen so far
    float* next_log_sum_exp;   ///< of both; not the same memory
    std::int64_t head_stride;  ///< elements from one head's log-sum-exp to the next, >= rows
};
/// Merges one segment more: segment [rows, heads * head_dim], its log-sum-exp at head * head_stride
/// + row. @param out  where the result goes, rounded; data null: into merged.values, for the next
/// segment
void merge_segment(const Matrix<const Bfloat16>& segment, const float* log_sum_exp,
                   std::int64_t head_dim, const MergedAttention& merged,
                   const Matrix<Bfloat16>& out, Stream stream);

/// out = silu(gate) * up; gate_up: [rows, 2 * out.columns], gate first
void swiglu(const Matrix<const float>& gate_up, const Matrix<Bfloat16>& out, Stream stream);

/// Running terms of the loss of each row over the tiles of the vocabulary so far.
struct RunningLoss {
    float* max;     ///< [rows]
    float* sum;     ///< [rows], of exp(logit - max)
    float* target;  ///< [rows], the logit of the row's target
};
/// One tile of logits.
struct LogitsTile {
    std::int64_t first_entry;  ///< of the vocabulary: the token of column 0
    bool first;                ///< what `running` holds is overwritten
    bool last;                 ///< losses are written
};
/// Adds a tile [rows, entries] to the running terms; after the last losses[r] = -ln
/// softmax[target].
void add_logits(const Matrix<const float>& logits, const std::int32_t* targets, LogitsTile tile,
                const RunningLoss& running, float* losses, Stream stream);

}  // namespace longrope::evaluator::cuda
