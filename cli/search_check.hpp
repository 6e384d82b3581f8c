// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "cli/exit_code.hpp"
#include "cli/stage_estimate.hpp"
#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// `longrope search --check`: validates configuration, model, documents, an earlier history and the
/// run directory, and prints what the search would cost. Computes nothing.
[[nodiscard]] ExitCode check_search(const coordinator::Configuration& configuration,
                                    const EstimatedJob& job, bool json);

/// Refuses a run directory in which a search could not write its first snapshot.
/// @throws ConfigurationError if it, or the nearest folder above it that exists, is no folder or
///         cannot be written
void check_run_directory(const std::filesystem::path& directory);

}  // namespace longrope::cli
