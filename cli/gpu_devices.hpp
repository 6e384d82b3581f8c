// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "evaluator/cuda/device_holders.hpp"

namespace longrope::cli {

/// A GPU of this machine.
struct GpuDevice {
    std::optional<int> index;  ///< as CUDA counts for this process; nothing: not shown to it
    std::string name;
    std::string uuid;
    std::string architecture;  ///< "sm_90"; empty where CUDA does not say
    std::uint64_t memory_bytes = 0;
    std::optional<std::uint64_t> free_bytes;
    std::vector<evaluator::cuda::DeviceHolder> holders;
    std::string strangers;  ///< the holders in words
};

/// What this machine offers to GPU evaluators.
struct GpuDevices {
    std::vector<GpuDevice> devices;  ///< CUDA's first
    std::string reason;              ///< why no GPU would be taken; empty where one would
    int runtime_version = 0;         ///< CUDA of the backend, 13000 for 13.0; 0: no backend
    int driver_version = 0;          ///< highest CUDA of the driver; 0: no driver
};

/// Asks the GPU backend, where there is one, and the driver's management library.
[[nodiscard]] GpuDevices gpu_devices();

}  // namespace longrope::cli
