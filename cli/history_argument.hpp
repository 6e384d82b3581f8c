// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cxxopts.hpp>
#include <filesystem>
#include <string>

#include "coordinator/history.hpp"

namespace longrope::cli {

/// The history file that a word of the command line means: a run directory holds it, a
/// configuration file (.toml) names its run directory, any other file is the history itself.
/// @param parsed  flags that override the configuration
[[nodiscard]] std::filesystem::path history_argument(const std::string& word,
                                                     const cxxopts::ParseResult& parsed);

/// @throws coordinator::HistoryError if there is none, or it cannot be read
[[nodiscard]] coordinator::RunHistory read_present_history(const std::filesystem::path& file);

}  // namespace longrope::cli
