// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "evaluator/cuda/device_runtime.hpp"
#include "evaluator/cuda/memory_plan.hpp"
#include "evaluator/cuda/products.hpp"
#include "evaluator/cuda/segment_attention.hpp"
#include "evaluator/device_ops.hpp"
#include "evaluator/model/model_config.hpp"
#include "evaluator/precision.hpp"

namespace longrope::evaluator::cuda {

/// A device and the libraries that work on it. What is declared first outlives the rest.
struct CudaDevice {
    std::unique_ptr<DeviceRuntime> runtime;
    std::unique_ptr<Products> products;
    std::unique_ptr<SegmentAttention> attention;
};

struct CudaSettings {
    Precision precision = Precision::bf16;
    /// Of the longest document; decides whether weights are resident. Longer ones are taken as long
    /// as they fit with the weights placed as they are.
    std::uint64_t longest_positions = 2;
    TilePlan tiles{};
    std::uint64_t memory_limit = 0;  ///< bytes planned with, at most; 0: all that is free
};

/// The CUDA backend: own kernels and the device's libraries, all work of a document on one stream,
/// weights on another where they are streamed. Operands of products are bfloat16, all else float32.
/// @throws EvaluatorError if the precision is not bf16, or a document of longest_positions does not
///         fit, naming the bytes needed and had
[[nodiscard]] std::unique_ptr<DeviceOps> make_cuda_ops(CudaDevice device, const ModelConfig& config,
                                                       const CudaSettings& settings);

/// The plan that make_cuda_ops makes on this device as it is now: memory that others hold is not
/// had.
[[nodiscard]] MemoryPlan plan_on_device(const DeviceRuntime& runtime, const ModelConfig& config,
                                        const CudaSettings& settings);

/// What decides bits, for the numerics class:
/// "cuda-1;arch=sm_90x132;products=…;attention=…;precision=bf16;tile=…"
[[nodiscard]] std::string numerics_class(const CudaDevice& device, const CudaSettings& settings);

}  // namespace longrope::evaluator::cuda
