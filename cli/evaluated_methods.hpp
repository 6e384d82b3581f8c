// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cxxopts.hpp>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/history.hpp"

namespace longrope::cli {

struct EvaluationPlan;

/// The rows of a table without --methods, before the searched one.
inline constexpr const char* default_methods = "none,pi,ntk,yarn";

/// A row of the table: a factor vector, built once and used at every length.
struct EvaluatedMethod {
    std::string name;
    std::vector<double> factors;  ///< lambda, shape [rotary_dim / 2]
    std::uint32_t start_tokens = 0;
    std::optional<double> attention_scale{};  ///< the method's own; none: the plan's
};

/// What --methods and --factors ask for. Says on stderr if the searched factors are of another
/// model than the one that is evaluated, or may still change; and if a run has none for the row
/// that it has without --methods.
/// @param plan     all but its methods
/// @param history  of the run, if there is one
/// @param stage    whose searched factors are meant, or null
/// @throws UsageError naming the flag
[[nodiscard]] std::vector<EvaluatedMethod> evaluated_methods(
    const cxxopts::ParseResult& parsed, const EvaluationPlan& plan,
    const std::optional<coordinator::RunHistory>& history, const coordinator::StageSettings* stage);

}  // namespace longrope::cli
