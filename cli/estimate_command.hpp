// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"

namespace longrope::cli {

/// Adds --device and --gpus, of `estimate` and of `search --check`.
void add_estimate_flags(cxxopts::Options& options);

/// Whether a GPU is to be planned with: --device is among the flags.
[[nodiscard]] bool names_device(const cxxopts::ParseResult& parsed);

/// Prints what a search would take on GPUs that need not be there: memory, FLOP and time of an
/// evaluation, GPU-hours, and how busy several GPUs would be. Of the model it reads config.json
/// alone, of the documents what is there. --stage leaves out the others.
/// @throws UsageError, ConfigurationError, EvaluatorError; ConfigurationError too, after the report
///         was printed, if a stage does not fit
[[nodiscard]] ExitCode print_gpu_estimate(const coordinator::Configuration& configuration,
                                          const cxxopts::ParseResult& parsed, bool json);

/// `longrope estimate CONFIG`.
[[nodiscard]] ExitCode run_estimate(const Words& words);

}  // namespace longrope::cli
