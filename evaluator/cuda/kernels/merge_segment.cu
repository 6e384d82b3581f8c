// SPDX-License-Identifier: Apache-2.0
// Merges attention to one more segment of keys into what was seen so far, by log-sum-exp:
//   L = ln(exp(L1) + exp(L2)),  O = exp(L1 - L) O1 + exp(L2 - L) O2
// where O1, O2 are normalised within their segments.
// segment bfloat16 [rows, heads * head_dim]; log-sum-exp float32 [heads, head_stride], natural;
// merged values float32 [rows, heads * head_dim]; out bfloat16 of that shape, after the last
// segment. Launch: a block of 256 threads for 256 columns of one row, a thread per element. Every
// thread of a head reads its two log-sum-exp; the new one goes to other memory, or it would be read
// half done. Source: Dao (arXiv:2307.08691), section 2.3, for two blocks.
#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"

namespace longrope::evaluator::cuda {
namespace {

__global__ void merge_segment_kernel(Matrix<const Bfloat16> segment, const float* log_sum_exp,
                                     std::int64_t head_dim, MergedAttention merged,
                                     Matrix<Bfloat16> out) {
    const std::int64_t row = element_row();
    const std::int64_t column = element_column();
    if (column >= segment.columns) return;
    const std::int64_t at = column / head_dim * merged.head_stride + row;  // of the log-sum-exp
    float* value = merged.values + row * segment.columns + column;

    const float added = to_float(segment.row(row)[column]);
    float result = added;
    float next = log_sum_exp[at];
    if (merged.log_sum_exp != nullptr) {
        const float before = merged.log_sum_exp[at];
        const float top = fmaxf(before, next);
        // NaN and infinity of either side come through: inf - inf is NaN.
        const float weight_before = expf(before - top);
        const float weight_added = expf(next - top);
        const float sum = weight_before + weight_added;
        result = (weight_before * *value + weight_added * added) / sum;
        next = top + logf(sum);
    }
    if (column % head_dim == 0) merged.next_log_sum_exp[at] = next;
    if (out.data != nullptr) {
        out.row(row)[column] = to_bfloat16(result);
    } else {
        *value = result;
    }
}

}  // namespace

void merge_segment(const Matrix<const Bfloat16>& segment, const float* log_sum_exp,
                   std::int64_t head_dim, const MergedAttention& merged,
                   const Matrix<Bfloat16>& out, Stream stream) {
    launch(merge_segment_kernel, shape_of_elements(segment.rows, segment.columns), stream, segment,
           log_sum_exp, head_dim, merged, out);
}

}  // namespace longrope::evaluator::cuda
