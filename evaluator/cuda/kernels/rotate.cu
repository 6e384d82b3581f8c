// SPDX-License-Identifier: Apache-2.0
// Rotary embedding in half-split layout, and the split of heads that attention reads.
//   rotate       heads float32 [rows, heads * head_dim] in place; pair i is the components
//                (i, i + pairs) of a head; cosines, sines float32 [rows, pairs]; components from
//                2 * pairs on stay (partial rotary)
//   split_heads  in float32 [rows, heads * head_dim] -> bfloat16, each head where its strides say:
//                keys and values head-major in groups of few KV heads, so that one attention call
//                spans fewer than 2^31 elements; queries row-major
// The angles' cosines and sines come from a table made in double on the host: a sincos(double) in
// the kernel would cost it local memory. Rotation happens in float32 before the only rounding.
// Launch: a block of 256 threads for 256 pairs or components of one row, a thread for each.
#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"

namespace longrope::evaluator::cuda {
namespace {

__global__ void rotate_kernel(Matrix<float> heads, std::int64_t head_dim, const float* cosines,
                              const float* sines, std::int64_t pairs) {
    const std::int64_t row = element_row();
    const std::int64_t index = element_column();
    if (index >= heads.columns / head_dim * pairs) return;
    const std::int64_t pair = index % pairs;
    float* low = heads.row(row) + index / pairs * head_dim + pair;
    float* high = low + pairs;
    const float cosine = cosines[row * pairs + pair];
    const float sine = sines[row * pairs + pair];
    const float x = *low;
    const float y = *high;
    *low = x * cosine - y * sine;
    *high = y * cosine + x * sine;
}

__global__ void split_heads_kernel(Matrix<const float> in, std::int64_t head_dim, Bfloat16* out,
                                   HeadStrides strides) {
    const std::int64_t row = element_row();
    const std::int64_t column = element_column();
    if (column >= in.columns) return;
    const std::int64_t head = column / head_dim;
    const std::int64_t component = column % head_dim;
    out[head * strides.head + row * strides.row + component] = to_bfloat16(in.row(row)[column]);
}

}  // namespace

void rotate(const Matrix<float>& heads, std::int64_t head_dim, const float* cosines,
            const float* sines, std::int64_t pairs, Stream stream) {
    launch(rotate_kernel, shape_of_elements(heads.rows, heads.columns / head_dim * pairs), stream,
           heads, head_dim, cosines, sines, pairs);
}

void split_heads(const Matrix<const float>& in, std::int64_t head_dim, Bfloat16* out,
                 HeadStrides strides, Stream stream) {
    launch(split_heads_kernel, shape_of_elements(in.rows, in.columns), stream, in, head_dim, out,
           strides);
}

}  // namespace longrope::evaluator::cuda
