// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "evaluator/cuda/module_interface.hpp"

namespace longrope::evaluator::cuda {

/// The module, or why there is none.
struct LoadedModule {
    CudaModule* module = nullptr;  ///< lives as long as the process
    std::string reason;            ///< for the user; empty where there is a module
};

/// Loads the GPU backend, which stays loaded: CUDA does not take being unloaded.
/// @param file  of the module; a name without a folder is not searched for
[[nodiscard]] LoadedModule load_module(const std::filesystem::path& file);

/// liblongrope_cuda.so in the folder of the running program.
[[nodiscard]] std::filesystem::path module_file();

/// The module of the running program where there is a driver for it. Without one nothing is loaded:
/// the libraries behind the module would take 150 MB of an evaluator that computes on the CPU.
[[nodiscard]] LoadedModule load_backend();

}  // namespace longrope::evaluator::cuda
