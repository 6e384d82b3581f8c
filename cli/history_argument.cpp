// SPDX-License-Identifier: Apache-2.0
#include "cli/history_argument.hpp"

#include <fmt/format.h>

#include <system_error>
#include <utility>

#include "cli/arguments.hpp"
#include "coordinator/history_file.hpp"

namespace longrope::cli {

std::filesystem::path history_argument(const std::string& word,
                                       const cxxopts::ParseResult& parsed) {
    const std::filesystem::path named{word};
    if (!word.ends_with(".toml") && parsed.count("run-directory") > 0) {
        throw UsageError{
            fmt::format("--run-directory goes with a configuration file, and {} is none", word)};
    }
    std::error_code error;  // what there is and cannot be looked at is refused where it is opened
    const std::filesystem::file_status status = std::filesystem::status(named, error);
    if (std::filesystem::is_directory(status)) return named / "search.h5";
    if (!word.ends_with(".toml")) {
        const bool is_history =
            word.ends_with(".h5") || status.type() != std::filesystem::file_type::not_found;
        return is_history ? named : named / "search.h5";
    }
    const coordinator::Configuration configuration =
        coordinator::read_configuration(word, overrides_of(parsed));
    return std::filesystem::path{configuration.run.directory} / "search.h5";
}

coordinator::Configuration configuration_of(const coordinator::RunHistory& history,
                                            const std::filesystem::path& file,
                                            const std::vector<coordinator::Override>& overrides) {
    return coordinator::parse_configuration(
        history.configuration, fmt::format("{}, attribute configuration", file.string()),
        overrides);
}

coordinator::RunHistory read_present_history(const std::filesystem::path& file) {
    auto history = coordinator::read_history(file);
    if (history) return std::move(*history);
    throw coordinator::HistoryError{
        fmt::format("{} does not exist: no search was begun in {}, or its first snapshot is still "
                    "to come",
                    file.string(), file.parent_path().string())};
}

}  // namespace longrope::cli
