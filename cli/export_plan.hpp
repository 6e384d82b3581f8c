// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "cli/arguments.hpp"
#include "cli/rope_export.hpp"
#include "coordinator/configuration.hpp"
#include "evaluator/model/model_config.hpp"

namespace longrope::cli {

enum class ExportFormat : std::uint8_t { hugging_face, vllm, csv, json };

/// What `export` is asked for.
struct ExportPlan {
    ExportFormat format = ExportFormat::hugging_face;
    std::filesystem::path output;
    bool copy_weights = false;                    ///< Hugging Face: copies in place of links
    bool replace = false;                         ///< a file that exists
    coordinator::Configuration configuration;     ///< model, documents and evaluator settings
    std::string stage_model;                      ///< weights of the stage's own; empty: the run's
    std::string missing_inputs;                   ///< as the function of that name says
    std::optional<evaluator::ModelConfig> model;  ///< none: the synthetic backend
    RopeExport rope;
    std::uint32_t dropped_long = 0;  ///< start tokens that the lists had and the export has not
    std::uint32_t dropped_short = 0;
    std::uint64_t short_tokens = 0;              ///< length that the short list is scored at
    std::vector<std::uint32_t> long_documents;   ///< that the reloaded lists are scored on
    std::vector<std::uint32_t> short_documents;  ///< empty, as the other: nothing is scored
};

/// Adds the flags and the argument of `export`.
void add_export_flags(cxxopts::Options& options);

/// Reads the history or the imported lists, the model and the facts of the documents; checks
/// everything that a format cannot carry. Warnings go to stderr.
/// @throws UsageError, ConfigurationError, HistoryError, EvaluatorError
[[nodiscard]] ExportPlan plan_export(const cxxopts::ParseResult& parsed);

}  // namespace longrope::cli
