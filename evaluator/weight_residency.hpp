// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace longrope::evaluator {

/// What an evaluator on a CPU holds of the weights between documents. The bits of a result do not
/// depend on it.
enum class WeightResidency : std::uint8_t {
    resident,  ///< all of them, packed once
    streamed,  ///< one norm: a document packs a layer, uses it and drops it; the file is mapped
};

/// @param name  "resident" or "streamed"
/// @throws EvaluatorError naming what was given and what is accepted
[[nodiscard]] WeightResidency parse_weight_residency(const std::string& name);

}  // namespace longrope::evaluator
