// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/module_loader.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <bit>
#include <string_view>
#include <system_error>

namespace longrope::evaluator::cuda {
namespace {

std::string loader_error() {
    const char* const error = ::dlerror();
    return error != nullptr ? error : "no reason given";
}

}  // namespace

std::filesystem::path module_file() {
    std::error_code error;
    const auto program = std::filesystem::read_symlink("/proc/self/exe", error);
    return program.parent_path() / "liblongrope_cuda.so";
}

LoadedModule load_backend() {
    const std::filesystem::path file = module_file();
    std::error_code error;
    if (std::filesystem::exists(file, error)) {
        // Stays open: it is what the module opens next.
        if (::dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL) == nullptr) {
            return {nullptr, fmt::format("no NVIDIA driver ({})", loader_error())};
        }
    }
    return load_module(file);
}

LoadedModule load_module(const std::filesystem::path& file) {
    std::error_code error;
    if (!std::filesystem::exists(file, error)) {
        return {nullptr,
                fmt::format("this build has no GPU backend ({} is not there)", file.string())};
    }
    void* const library = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
        return {nullptr, fmt::format("the GPU backend cannot be loaded: {}", loader_error())};
    }
    const auto digest = std::bit_cast<DigestFunction>(::dlsym(library, digest_symbol));
    const auto module = std::bit_cast<ModuleFunction>(::dlsym(library, module_symbol));
    if (digest == nullptr || module == nullptr) {
        return {nullptr,
                fmt::format("{} is not longrope's GPU backend: {}", file.string(), loader_error())};
    }
    if (std::string_view{digest()} != LONGROPE_CUDA_INTERFACE_DIGEST) {
        return {nullptr, fmt::format("{} belongs to another build of longrope: build both together",
                                     file.string())};
    }
    return {module(), {}};
}

}  // namespace longrope::evaluator::cuda
