// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "cli/exit_code.hpp"
#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// The job that a search is estimated for.
struct EstimatedJob {
    std::uint32_t ranks = 1;
    /// On machines like this one, as many as its ranks and their threads need; otherwise it is this
    /// process's own job, whose ranks share the cores of this machine.
    bool elsewhere = false;
};

/// `longrope search --check`: validates configuration, model, documents, an earlier history and the
/// run directory, and prints what the search would cost. Computes nothing.
[[nodiscard]] ExitCode check_search(const coordinator::Configuration& configuration,
                                    const EstimatedJob& job, bool json);

/// What the evaluators of a machine hold.
struct EvaluatorMemory {
    std::uint64_t bytes_per_evaluator = 0;
    /// The model's files in the page cache, if weights are streamed.
    std::uint64_t shared_bytes = 0;
};

/// A line that names what helps if a machine of `installed` bytes cannot hold the evaluators of its
/// ranks, else nothing.
[[nodiscard]] std::string memory_shortage(std::uint32_t ranks, const EvaluatorMemory& memory,
                                          std::uint64_t installed);

/// Refuses a run directory in which a search could not write its first snapshot.
/// @throws ConfigurationError if it, or the nearest folder above it that exists, is no folder or
///         cannot be written
void check_run_directory(const std::filesystem::path& directory);

}  // namespace longrope::cli
