// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/backend_choice.hpp"

#include <fmt/format.h>

namespace longrope::evaluator::cuda {

BackendChoice choose_backend(const ProbeResult& probe, const std::string& precision,
                             std::uint32_t node_rank) {
    if (probe.devices.empty()) return {.reason = probe.reason};
    if (precision != "bf16") {
        return {.reason = fmt::format("{} is there, but the GPU backend computes in bf16 and "
                                      "evaluator.precision = \"{}\"",
                                      probe.devices.front().name, precision)};
    }
    return {
        .gpu = true,
        .device = static_cast<int>(node_rank % static_cast<std::uint32_t>(probe.devices.size())),
        .reason = {}};
}

}  // namespace longrope::evaluator::cuda
