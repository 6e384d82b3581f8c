// SPDX-License-Identifier: Apache-2.0
// Negative log-likelihood over a vocabulary that comes in tiles of logits, which are never kept:
//   loss[r] = ln Σ_v exp(x[r, v]) - x[r, target[r]]
// logits float32 [rows, entries of the tile]; targets int32 [rows], tokens of the whole vocabulary;
// running max, sum of exp(logit - max) and target's logit float32 [rows]; losses float32 [rows].
// Launch: a warp for each row, eight to a block of (32, 8). A row of a tile is read twice (maximum,
// then sum), the second time from the cache. Each row is summed by one warp, tile by tile: no
// atomics, so the order of additions and the bits are the same in every run.
#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"

namespace longrope::evaluator::cuda {
namespace {

__global__ void add_logits_kernel(Matrix<const float> logits, const std::int32_t* targets,
                                  LogitsTile tile, RunningLoss running, float* losses) {
    const std::int64_t row = warp_index();
    if (row >= logits.rows) return;  // the whole warp
    const float* x = logits.row(row);
    const unsigned lane = threadIdx.x;

    float top = -INFINITY;
    for (std::int64_t i = lane; i < logits.columns; i += warp_lanes) top = fmaxf(top, x[i]);
    top = warp_max(top);
    // Lane 0 alone touches the running terms; the others get what they need by shuffles.
    float before = -INFINITY;
    float sum = 0.0F;
    if (lane == 0 && !tile.first) {
        before = running.max[row];
        sum = running.sum[row];
    }
    top = fmaxf(top, __shfl_sync(all_lanes, before, 0));
    float added =
        0.0F;  // a NaN among the logits, which the maximum passes over, comes through here
    for (std::int64_t i = lane; i < logits.columns; i += warp_lanes) added += expf(x[i] - top);
    added = warp_sum(added);
    if (lane != 0) return;

    if (!tile.first) added += sum * expf(before - top);
    const std::int64_t target = targets[row] - tile.first_entry;
    const bool here = target >= 0 && target < logits.columns;
    if (here) running.target[row] = x[target];
    running.max[row] = top;
    running.sum[row] = added;
    // Both terms are small; top - target first would cancel digits of the logits.
    if (tile.last) losses[row] = logf(added) + (top - running.target[row]);
}

}  // namespace

void add_logits(const Matrix<const float>& logits, const std::int32_t* targets, LogitsTile tile,
                const RunningLoss& running, float* losses, Stream stream) {
    launch(add_logits_kernel, shape_of_warps(logits.rows), stream, logits, targets, tile, running,
           losses);
}

}  // namespace longrope::evaluator::cuda
