// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "evaluator/cuda/device_runtime.hpp"
#include "evaluator/cuda/streamed_weights.hpp"
#include "evaluator/device_ops.hpp"

namespace longrope::evaluator::cuda {

/// A matrix [outputs, inputs] of one layer in bfloat16: on the device, or among the streamed ones.
struct CudaMatrix : Prepared {
    std::int64_t inputs = 0;
    std::uint64_t size = 0;
    DeviceAllocation resident;
    StreamedWeights::Place streamed;
    [[nodiscard]] std::uint64_t bytes() const noexcept override { return size; }
};

/// Embedding or vocabulary projection [vocabulary, hidden] in bfloat16; one memory where they are
/// tied, which the second of the two does not count again.
struct CudaTable : Prepared {
    std::int64_t vocabulary = 0;
    std::shared_ptr<const DeviceAllocation> memory;
    bool counted = true;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        return counted ? memory->bytes() : 0;
    }
};

/// Norm weights or a bias, float32; tokens, int32.
struct CudaVector : Prepared {
    DeviceAllocation memory;
    [[nodiscard]] std::uint64_t bytes() const noexcept override { return memory.bytes(); }
};

struct CudaRotary : Prepared {
    std::int64_t pairs = 0;
    DeviceAllocation cosines;  // float32 [positions, pairs]
    DeviceAllocation sines;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        return cosines.bytes() + sines.bytes();
    }
};

}  // namespace longrope::evaluator::cuda
