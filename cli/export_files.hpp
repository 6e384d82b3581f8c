// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/export_formats.hpp"
#include "cli/export_plan.hpp"

namespace longrope::cli {

/// Writes the file of the plan, or into its folder, which is there; less of it where a stop was
/// requested. Of a model folder config.json is written anew, and
/// tokenizer_config.json where it allows fewer tokens than the target; every other file beside them
/// is linked or copied, folders inside it are left out. What vLLM would refuse is told on stderr.
/// @returns  what was written, for people
/// @throws std::system_error, coordinator::HistoryError naming the path that cannot be written
std::string write_export(const ExportPlan& plan);

/// Reads what `write_export` wrote as an engine would.
/// @throws UsageError, evaluator::EvaluatorError if it cannot be read
[[nodiscard]] ReloadedRope reload_export(const ExportPlan& plan);

}  // namespace longrope::cli
