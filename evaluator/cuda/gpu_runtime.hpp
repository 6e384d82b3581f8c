// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "evaluator/cuda/device_runtime.hpp"
#include "evaluator/cuda/module_interface.hpp"

namespace longrope::evaluator::cuda {

/// The devices that CUDA shows this process. Creates no context, so that it costs no device memory.
[[nodiscard]] ProbeResult probe_devices();

/// Device memory that nobody has taken. Creates this process's context on the device.
/// @throws EvaluatorError naming the device
[[nodiscard]] std::uint64_t free_device_bytes(int index);

/// CUDA's runtime on one device, which becomes the calling thread's current device.
/// @param index  among the devices that CUDA shows this process
/// @throws EvaluatorError naming the device
[[nodiscard]] std::unique_ptr<DeviceRuntime> open_gpu_runtime(int index);

}  // namespace longrope::evaluator::cuda
