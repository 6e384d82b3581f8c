// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/export_plan.hpp"

namespace longrope::cli {

/// Takes lists, model and settings from the run's history. Says on stderr if its stage is not
/// complete, or a list decreases.
/// @throws UsageError, ConfigurationError, HistoryError
void export_from_run(const cxxopts::ParseResult& parsed, ExportPlan& plan);

/// Takes the lists from --factors and --short-factors, the rest from --model and flags.
/// @throws UsageError naming the flag, ConfigurationError, EvaluatorError
void export_from_files(const cxxopts::ParseResult& parsed, ExportPlan& plan);

}  // namespace longrope::cli
