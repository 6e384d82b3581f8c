// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "evaluator/cuda/backend_choice.hpp"
#include "evaluator/cuda/module_interface.hpp"
#include "evaluator/cuda/module_loader.hpp"

namespace longrope::tests {

/// The GPU backend that the program would take on this machine, or why there is none.
struct GpuBackend {
    evaluator::cuda::CudaModule* module = nullptr;
    evaluator::cuda::ProbeResult probe;
    std::string reason;  ///< empty where there is a device
    int device = 0;      ///< that would be taken, among those of the probe
};

inline GpuBackend gpu_backend() {
    using namespace evaluator::cuda;
    const LoadedModule loaded = load_backend();
    if (loaded.module == nullptr) return {nullptr, {}, loaded.reason};
    ProbeResult probe = loaded.module->probe();
    const BackendChoice choice = choose_backend(probe, "bf16", 0);
    return {choice.gpu ? loaded.module : nullptr, std::move(probe), choice.reason, choice.device};
}

}  // namespace longrope::tests
