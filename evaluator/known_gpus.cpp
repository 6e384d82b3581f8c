// SPDX-License-Identifier: Apache-2.0
#include "evaluator/known_gpus.hpp"

#include <algorithm>
#include <array>

namespace longrope::evaluator {
namespace {

constexpr std::uint64_t gib = std::uint64_t{1} << 30U;

constexpr std::array<GpuModel, 5> gpus{{
    {"a100-40gb", "NVIDIA A100 40 GB", 39 * gib, 312e12},
    {"a100-80gb", "NVIDIA A100 80 GB", 79 * gib, 312e12},
    {"b200-180gb", "NVIDIA B200 180 GB", 178 * gib, 2250e12},
    {"h100-80gb", "NVIDIA H100 80 GB", 79 * gib, 989e12},
    {"h200-141gb", "NVIDIA H200 141 GB", 139 * gib, 989e12},
}};

}  // namespace

std::span<const GpuModel> known_gpus() noexcept {
    return gpus;
}

const GpuModel* find_known_gpu(std::string_view name) noexcept {
    const auto* found = std::ranges::find(gpus, name, &GpuModel::name);
    return found == gpus.end() ? nullptr : found;
}

}  // namespace longrope::evaluator
