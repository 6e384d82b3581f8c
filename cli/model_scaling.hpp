// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "cli/evaluation_plan.hpp"
#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// The scaling that the model folder itself asks for, as transformers would apply it to a document
/// of `target_tokens`, with its own attention scale; a folder without a scaling gives factors 1.
/// @throws UsageError without a model folder, EvaluatorError if the folder's scaling is unusable
[[nodiscard]] EvaluatedMethod model_method(const coordinator::Configuration& configuration,
                                           std::uint64_t target_tokens);

/// A line for stderr where the folder asks for a scaling that others replace; empty where not.
[[nodiscard]] std::string replaced_scaling(const coordinator::Configuration& configuration);

}  // namespace longrope::cli
