// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include <string_view>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cuda {

/// check(cudaMemcpyAsync(...), "copy 64 bytes to NVIDIA H100")
/// @throws EvaluatorError "cannot <intent>: <what CUDA says>" unless `status` is success
inline void check(cudaError_t status, std::string_view intent) {
    if (status == cudaSuccess) return;
    // Told here, it is not to be found again by the next kernel launch. What broke the device's
    // context stays.
    static_cast<void>(cudaGetLastError());
    throw EvaluatorError{fmt::format("cannot {}: {} ({}, CUDA error {})", intent,
                                     cudaGetErrorString(status), cudaGetErrorName(status),
                                     static_cast<int>(status))};
}

}  // namespace longrope::evaluator::cuda
