// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/backend_choice.hpp"

#include <fmt/format.h>

#include <vector>

namespace longrope::evaluator::cuda {

BackendChoice choose_backend(const ProbeResult& probe, const std::string& precision,
                             std::uint32_t node_rank, const std::string& uuid) {
    if (probe.devices.empty()) return {.reason = probe.reason};
    if (precision != "bf16") {
        return {.reason = fmt::format("{} is there, but the GPU backend computes in bf16 and "
                                      "evaluator.precision = \"{}\"",
                                      probe.devices.front().name, precision)};
    }
    std::vector<int> usable;
    for (std::size_t i = 0; i < probe.devices.size(); ++i) {
        if (probe.devices[i].sm_version() >= oldest_sm_version) {
            usable.push_back(static_cast<int>(i));
        }
    }
    if (usable.empty()) {
        return {.reason = fmt::format("{} is {}, and the GPU backend is built for sm_{} and later",
                                      probe.devices.front().name,
                                      probe.devices.front().architecture, oldest_sm_version)};
    }
    if (!uuid.empty()) {
        for (const int device : usable) {
            if (probe.devices[static_cast<std::size_t>(device)].uuid != uuid) continue;
            return {.gpu = true, .device = device, .reason = {}};
        }
        return {.reason = fmt::format("{} is not among the {} devices that CUDA shows", uuid,
                                      probe.devices.size())};
    }
    return {.gpu = true, .device = usable[node_rank % usable.size()], .reason = {}};
}

}  // namespace longrope::evaluator::cuda
