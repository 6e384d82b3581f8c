// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "coordinator/configuration.hpp"
#include "coordinator/stage_plan.hpp"

namespace longrope::cli {

/// A row of the table: a factor vector, built once and used at every length.
struct EvaluatedMethod {
    std::string name;
    std::vector<double> factors;  ///< lambda, shape [rotary_dim / 2]
    std::uint32_t start_tokens = 0;
    std::optional<double> attention_scale{};  ///< the method's own; none: the plan's
};

/// What `evaluate` is asked for.
struct EvaluationPlan {
    coordinator::Configuration configuration;  ///< model, documents and evaluator settings
    std::string stage_model;                   ///< stage.model of the evaluated stage; empty: none
    coordinator::RunFacts facts;
    std::vector<EvaluatedMethod> methods;
    std::vector<std::uint64_t> tokens;  ///< L' of each column
    double target_tokens = 0.0;         ///< the length that the vectors are built for
    double attention_scale = 1.0;       ///< of methods without one of their own
    std::string split;
    std::vector<std::uint32_t> documents;  ///< index in the documents file
    std::vector<std::string> titles;
    std::filesystem::path per_token;  ///< file to write; empty: none

    [[nodiscard]] double attention_scale_of(const EvaluatedMethod& method) const noexcept {
        return method.attention_scale.value_or(attention_scale);
    }
};

/// Adds the flags of `evaluate`.
void add_evaluation_flags(cxxopts::Options& options);

/// @throws UsageError, ConfigurationError, HistoryError, EvaluatorError
[[nodiscard]] EvaluationPlan plan_evaluation(const cxxopts::ParseResult& parsed);

/// One factor per line or separated by commas; empty lines and lines that start with # are skipped.
/// @throws UsageError naming file and line
[[nodiscard]] std::vector<double> read_factors_file(const std::filesystem::path& file);

}  // namespace longrope::cli
