// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "evaluator/cuda/module_interface.hpp"

namespace longrope::evaluator::cuda {

/// Whether the GPU computes, on which device, and if not, why.
struct BackendChoice {
    bool gpu = false;
    int device = 0;      ///< among ProbeResult::devices
    std::string reason;  ///< why not the GPU; empty where it is taken
};

/// Bfloat16 products, and the kernels that are built, begin with Ampere.
inline constexpr int oldest_sm_version = 80;

/// The rule behind backend "auto": the GPU where there is one that is new enough and the precision
/// is bf16, which is all that it computes in. Ranks of a node take such devices in turn. Where
/// every rank is shown a device of its own that is the same rule, and more ranks than devices meet
/// on one, which the coordinator refuses.
/// @param precision  "f32" or "bf16"
/// @param node_rank  index of the rank among those of its node, from 0
/// @param uuid       of the device that must be taken; empty: any
[[nodiscard]] BackendChoice choose_backend(const ProbeResult& probe, const std::string& precision,
                                           std::uint32_t node_rank, const std::string& uuid = "");

}  // namespace longrope::evaluator::cuda
