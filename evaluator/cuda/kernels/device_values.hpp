// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#include "evaluator/cuda/kernels/launch.hpp"

namespace longrope::evaluator::cuda {

/// A bfloat16, as cublasLt and cuDNN read it.
struct Bfloat16 {
    std::uint16_t bits;
};

/// The nearest bfloat16, ties to even; a NaN stays a NaN. In integers, so that it is one source on
/// GPU and host and needs no header of CUDA's; the kernels that use it wait for memory, not for it.
inline __device__ Bfloat16 to_bfloat16(float value) {
    std::uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7FFFFFFFU) > 0x7F800000U) {
        return {static_cast<std::uint16_t>((bits >> 16U) | 0x40U)};
    }
    return {static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U)};
}

inline __device__ float to_float(Bfloat16 value) {
    const std::uint32_t bits = static_cast<std::uint32_t>(value.bits) << 16U;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/// A row-major matrix in device memory. Indices are 64 bits wide everywhere: 2,048,000 positions of
/// 4,096 components are more than 2^31.
template <class Element>
struct Matrix {
    Element* data;
    std::int64_t rows;
    std::int64_t columns;
    std::int64_t stride;  ///< elements from one row to the next

    __device__ Element* row(std::int64_t index) const { return data + index * stride; }
    /// A template, since nvcc warns of a conversion to the type itself where Element is const.
    template <class Other>
    requires(!std::is_const_v<Element> && std::is_same_v<Other, const Element>)
    operator Matrix<Other>() const {
        return {data, rows, columns, stride};
    }
};

/// Threads of a block of the kernels that give each element a thread.
inline constexpr unsigned element_threads = 256;

/// A block for 256 columns of one row. Rows are counted in x, which alone reaches beyond 65,535.
inline LaunchShape shape_of_elements(std::int64_t rows, std::int64_t columns) {
    return {{static_cast<unsigned>(rows),
             static_cast<unsigned>((columns + element_threads - 1) / element_threads)},
            {element_threads}};
}

inline __device__ std::int64_t element_row() {
    return blockIdx.x;
}
inline __device__ std::int64_t element_column() {
    return std::int64_t{blockIdx.y} * element_threads + threadIdx.x;
}

/// Lanes of a warp, and warps of a block of the kernels that give each row a warp.
inline constexpr unsigned warp_lanes = 32;
inline constexpr unsigned block_warps = 8;
inline constexpr unsigned all_lanes = 0xFFFFFFFFU;

/// A warp for each of `count` rows: sums within a warp need no shared memory and no barrier, and
/// eight thousand rows are sixty warps on each processor of a large GPU.
inline LaunchShape shape_of_warps(std::int64_t count) {
    return {{static_cast<unsigned>((count + block_warps - 1) / block_warps)},
            {warp_lanes, block_warps}};
}

/// The row of this warp.
inline __device__ std::int64_t warp_index() {
    return std::int64_t{blockIdx.x} * block_warps + threadIdx.y;
}

/// The sum over the warp, the same bits in every lane and every run: partners add the same two
/// values at each step.
inline __device__ float warp_sum(float value) {
    for (unsigned distance = warp_lanes / 2; distance > 0; distance /= 2) {
        value += __shfl_xor_sync(all_lanes, value, distance);
    }
    return value;
}

/// The maximum over the warp; NaNs are passed over where there is a number.
inline __device__ float warp_max(float value) {
    for (unsigned distance = warp_lanes / 2; distance > 0; distance /= 2) {
        value = fmaxf(value, __shfl_xor_sync(all_lanes, value, distance));
    }
    return value;
}

}  // namespace longrope::evaluator::cuda
