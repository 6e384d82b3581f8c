// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "evaluator/cuda/segment_attention.hpp"

namespace longrope::evaluator::cuda {

/// Attention by cuDNN's fused scaled dot product, forward, with its statistics; a plan for each
/// shape that occurs. cuDNN is opened here and not linked: without it the program still starts.
/// @param runtime  must outlive the result, which takes its workspace from it
/// @throws EvaluatorError if cuDNN cannot be loaded or used
[[nodiscard]] std::unique_ptr<SegmentAttention> make_cudnn_attention(DeviceRuntime& runtime);

/// Why cuDNN cannot be loaded; empty if it can. Needs no device.
[[nodiscard]] std::string cudnn_absence();

/// Plans that cuDNN proposes and accepts for a device that need not be there; one of them is built,
/// which takes a driver that loads its kernel, if only in name.
/// @param device_properties  cuDNN's JSON of a device
/// @param sm_version         80, 90, 100
/// @throws EvaluatorError    with cuDNN's reason if none can be built
[[nodiscard]] std::int64_t plans_without_device(const AttentionSegment& shape,
                                                const std::string& device_properties,
                                                int sm_version);

}  // namespace longrope::evaluator::cuda
