// SPDX-License-Identifier: Apache-2.0
#pragma once

// The seam between kernels and what runs them. Compiled by nvcc, the words of CUDA C++ mean what
// they always do and launch() is <<<>>>. Compiled by any other C++ compiler, the same words are
// declared here, and whoever links the kernels defines them: tests/cuda_emulator runs a fibre for
// each thread. So what is tested without a GPU is the source that runs on one, line by line.

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "evaluator/cuda/device_runtime.hpp"

#if defined(__CUDACC__)
#include <cuda_runtime.h>

#include <string>

#include "evaluator/evaluator.hpp"
#else
#include <cmath>
#include <cstring>
#include <functional>
#include <source_location>
#endif

namespace longrope::evaluator::cuda {

struct Extent {
    unsigned x = 1;
    unsigned y = 1;
    unsigned z = 1;
};

struct LaunchShape {
    Extent grid{};   ///< blocks; x up to 2^31 - 1, y and z up to 65,535
    Extent block{};  ///< threads, x fastest: 32 of one x are a warp where x is 32
    std::size_t shared_bytes = 0;
};

#if defined(__CUDACC__)

/// Queues a kernel. @throws EvaluatorError with CUDA's own words if the launch is refused
template <class... Parameters>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream,
            std::type_identity_t<Parameters>... arguments) {
    const dim3 grid{shape.grid.x, shape.grid.y, shape.grid.z};
    const dim3 block{shape.block.x, shape.block.y, shape.block.z};
    kernel<<<grid, block, shape.shared_bytes, stream>>>(arguments...);
    if (const cudaError_t status = cudaGetLastError(); status != cudaSuccess) {
        throw EvaluatorError{std::string{"cannot launch a kernel on the CUDA device: "} +
                             cudaGetErrorString(status)};
    }
}

/// The block's shared_bytes of shared memory.
template <class Element>
__device__ Element* shared_memory() {
    extern __shared__ unsigned char longrope_shared_memory[];
    return reinterpret_cast<Element*>(longrope_shared_memory);
}

#else

// NOLINTBEGIN(bugprone-reserved-identifier, readability-identifier-naming): CUDA's own names
#define __global__
#define __device__

/// Defined by whoever links kernels that were not compiled by nvcc.
namespace host {
/// Queues `thread` to be called for each thread of each block.
void run(const LaunchShape& shape, Stream stream, std::function<void()> thread);
void barrier(const std::source_location& where);
/// What the lane `source` of this warp gives in the same exchange, in which all lanes of `mask`
/// are.
std::uint64_t exchange(unsigned mask, std::uint64_t given, unsigned source,
                       const std::source_location& where);
unsigned lane() noexcept;
std::byte* shared_memory() noexcept;
}  // namespace host

extern Extent gridDim;
extern Extent blockDim;
extern Extent blockIdx;
extern Extent threadIdx;

template <class... Parameters>
void launch(void (*kernel)(Parameters...), const LaunchShape& shape, Stream stream,
            std::type_identity_t<Parameters>... arguments) {
    host::run(shape, stream, [=] { kernel(arguments...); });
}

template <class Element>
Element* shared_memory() {
    return reinterpret_cast<Element*>(host::shared_memory());
}

inline void __syncthreads(const std::source_location& where = std::source_location::current()) {
    host::barrier(where);
}

template <class Value>
Value __shfl_sync(unsigned mask, Value value, unsigned source,
                  const std::source_location& where = std::source_location::current()) {
    static_assert(sizeof(Value) <= sizeof(std::uint64_t));
    std::uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    bits = host::exchange(mask, bits, source, where);
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

template <class Value>
Value __shfl_xor_sync(unsigned mask, Value value, unsigned lane_mask,
                      const std::source_location& where = std::source_location::current()) {
    return __shfl_sync(mask, value, host::lane() ^ lane_mask, where);
}
// NOLINTEND(bugprone-reserved-identifier, readability-identifier-naming)

#endif

}  // namespace longrope::evaluator::cuda
