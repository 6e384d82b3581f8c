// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/evaluated_methods.hpp"
#include "coordinator/configuration.hpp"
#include "coordinator/stage_plan.hpp"

namespace longrope::cli {

/// What `evaluate` is asked for.
struct EvaluationPlan {
    coordinator::Configuration configuration;  ///< model, documents and evaluator settings
    std::string stage_model;                   ///< stage.model of the evaluated stage; empty: none
    coordinator::RunFacts facts;
    std::vector<EvaluatedMethod> methods;
    std::vector<std::uint64_t> tokens;  ///< of each column: L', or the sliding window
    std::uint64_t stride = 0;           ///< of the sliding window, in tokens; 0: documents whole
    std::uint64_t read_positions = 0;   ///< of each document, for windows to slide over; 0: all
    std::uint64_t target_tokens = 0;    ///< the length that the vectors are built for
    std::string target_stage;           ///< whose target that is; empty: no stage's
    double attention_scale = 1.0;       ///< of methods without one of their own
    std::string split;
    std::vector<std::uint32_t> documents;  ///< index in the documents file
    std::vector<std::string> titles;
    std::uint64_t short_documents = 0;  ///< of the split, left out: shorter than the longest length
    std::filesystem::path per_token;    ///< files to write; empty: none
    std::filesystem::path csv;
    std::filesystem::path hdf5;

    [[nodiscard]] double attention_scale_of(const EvaluatedMethod& method) const noexcept {
        return method.attention_scale.value_or(attention_scale);
    }
    /// Tokens of a document that windows slide over, without a BOS.
    /// @param column  index in `documents`
    [[nodiscard]] std::uint64_t tokens_read(std::size_t column) const;
};

/// Overrides of the environment and of flags, those for model, documents and angles included.
[[nodiscard]] std::vector<coordinator::Override> input_overrides(
    const cxxopts::ParseResult& parsed);

/// The configuration of a verb that is given --model and --documents in place of a file: no stage,
/// no run directory.
[[nodiscard]] coordinator::Configuration folder_configuration(const cxxopts::ParseResult& parsed,
                                                              const std::string& verb);

/// A context window, in the range of stage.target_tokens.
/// @throws UsageError naming the flag
[[nodiscard]] std::uint64_t parse_window(const std::string& text, const std::string& flag);

/// How many documents --limit lets be scored; without the flag, all.
/// @throws UsageError naming the flag
[[nodiscard]] std::uint64_t document_limit(const cxxopts::ParseResult& parsed);

/// Adds the flags of `evaluate`.
void add_evaluation_flags(cxxopts::Options& options);

/// @throws UsageError, ConfigurationError, HistoryError, EvaluatorError, StageWaits
[[nodiscard]] EvaluationPlan plan_evaluation(const cxxopts::ParseResult& parsed);

}  // namespace longrope::cli
