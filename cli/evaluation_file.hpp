// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <span>

#include "cli/evaluation_report.hpp"

namespace longrope::cli {

/// Writes what `evaluate` found as HDF5: evaluation_format.md is its page. An existing file is
/// replaced by the whole new one, or not at all.
/// @throws storage::StorageError, coordinator::HistoryError naming the path
void write_evaluation_file(const std::filesystem::path& file, const EvaluationPlan& plan,
                           const EvaluationReport& report, std::span<const CellScores> cells);

}  // namespace longrope::cli
