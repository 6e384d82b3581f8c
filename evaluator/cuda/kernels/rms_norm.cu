// SPDX-License-Identifier: Apache-2.0
// RMSNorm of rows, and of every head of a row.
//   rows   in float32 [rows, columns], out bfloat16 of that shape, weight float32 [columns]
//   heads  float32 [rows, heads * head_dim], in place, weight float32 [head_dim]
// Launch: a warp for each row or head, eight to a block of (32, 8); lane l takes the components
// l, l + 32, … Squares are summed in float32, in the same order whatever the launch. A row is read
// twice, the second time from the cache: 4,096 components of eight rows are 128 KiB.
// Source: Zhang, Sennrich (arXiv:1910.07467), equation 4.
#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"

namespace longrope::evaluator::cuda {
namespace {

/// 1 / sqrt(mean(x²) + epsilon), the same in all lanes
__device__ float inverse_norm(const float* x, std::int64_t count, float epsilon) {
    float sum = 0.0F;
    for (std::int64_t i = threadIdx.x; i < count; i += warp_lanes) sum += x[i] * x[i];
    return 1.0F / sqrtf(warp_sum(sum) / static_cast<float>(count) + epsilon);
}

__global__ void rms_norm_kernel(Matrix<const float> in, const float* weight, float epsilon,
                                Matrix<Bfloat16> out) {
    const std::int64_t row = warp_index();
    if (row >= in.rows) return;  // the whole warp
    const float* x = in.row(row);
    const float scale = inverse_norm(x, in.columns, epsilon);
    Bfloat16* target = out.row(row);
    for (std::int64_t i = threadIdx.x; i < in.columns; i += warp_lanes) {
        target[i] = to_bfloat16(x[i] * scale * weight[i]);
    }
}

__global__ void rms_norm_heads_kernel(Matrix<float> heads, std::int64_t head_dim,
                                      const float* weight, float epsilon) {
    const std::int64_t heads_of_a_row = heads.columns / head_dim;
    const std::int64_t index = warp_index();
    if (index >= heads.rows * heads_of_a_row) return;  // the whole warp
    float* x = heads.row(index / heads_of_a_row) + index % heads_of_a_row * head_dim;
    const float scale = inverse_norm(x, head_dim, epsilon);
    // Each lane writes what it alone has read, so no lane sees another's result.
    for (std::int64_t i = threadIdx.x; i < head_dim; i += warp_lanes)
        x[i] = x[i] * scale * weight[i];
}

}  // namespace

void rms_norm(const Matrix<const float>& in, const float* weight, float epsilon,
              const Matrix<Bfloat16>& out, Stream stream) {
    launch(rms_norm_kernel, shape_of_warps(in.rows), stream, in, weight, epsilon, out);
}

void rms_norm_heads(const Matrix<float>& heads, std::int64_t head_dim, const float* weight,
                    float epsilon, Stream stream) {
    launch(rms_norm_heads_kernel, shape_of_warps(heads.rows * (heads.columns / head_dim)), stream,
           heads, head_dim, weight, epsilon);
}

}  // namespace longrope::evaluator::cuda
