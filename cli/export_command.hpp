// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"
#include "cli/job.hpp"

namespace longrope::cli {

/// The verb export: writes rescale factors as inference engines load them, reads them back and
/// compares their perplexity with the stored one.
/// @throws UsageError, ConfigurationError, HistoryError, EvaluatorError, NoWorkers, and
///         std::runtime_error if what was read back differs; what was written stays there
[[nodiscard]] ExitCode run_export(Job& job, const Words& words);

}  // namespace longrope::cli
