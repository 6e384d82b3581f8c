// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxopts.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/history.hpp"

namespace longrope::cli {

/// Whether a word for a run means its configuration file: by its ending, or, where that is neither
/// .toml nor .h5, a file that is no HDF5.
[[nodiscard]] bool is_configuration_word(const std::string& word);

/// Refuses a run's history or directory where a verb takes the configuration: a search goes on with
/// what its file says now, and not with what it was begun with.
/// @throws UsageError naming what it is
void refuse_run(const std::string& word, const std::string& verb);

/// The history file that a word of the command line means: a run directory holds it, a
/// configuration file names its run directory, any other file is the history itself.
/// @param parsed  flags that override the configuration
[[nodiscard]] std::filesystem::path history_argument(const std::string& word,
                                                     const cxxopts::ParseResult& parsed);

/// The configuration that a history holds.
/// @param file       names it in errors
/// @param overrides  win over what it says
/// @throws coordinator::ConfigurationError if a setting is not accepted
[[nodiscard]] coordinator::Configuration configuration_of(
    const coordinator::RunHistory& history, const std::filesystem::path& file,
    const std::vector<coordinator::Override>& overrides);

/// What to add to an error about model or documents: of those that the history names and that are
/// not there, the flag that names them anew. Its paths count from where the search was started.
/// @param configuration  what is used, with all overrides
/// @returns lines, each after a line break; nothing if nothing of the history's is missing
[[nodiscard]] std::string missing_inputs(const coordinator::RunHistory& history,
                                         const std::filesystem::path& file,
                                         const coordinator::Configuration& configuration);

/// @throws coordinator::HistoryError if there is none, or it cannot be read
[[nodiscard]] coordinator::RunHistory read_present_history(const std::filesystem::path& file);

}  // namespace longrope::cli
