// SPDX-License-Identifier: Apache-2.0
#include "cli/history_argument.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <string_view>
#include <system_error>
#include <utility>

#include "cli/arguments.hpp"
#include "cli/run_inputs.hpp"
#include "coordinator/history_file.hpp"
#include "evaluator/input_file.hpp"

namespace longrope::cli {
namespace {

bool begins_as_hdf5(const std::string& file) {
    constexpr std::string_view signature = "\x89HDF\r\n\x1a\n";
    std::string beginning(signature.size(), '\0');
    std::ifstream stream{file, std::ios::binary};
    stream.read(beginning.data(), static_cast<std::streamsize>(beginning.size()));
    return beginning == signature;
}

}  // namespace

bool is_configuration_word(const std::string& word) {
    if (word.ends_with(".h5")) return false;
    std::error_code error;  // what there is and cannot be looked at is refused where it is opened
    const std::filesystem::file_status status = std::filesystem::status(word, error);
    if (std::filesystem::is_directory(status)) return false;
    if (word.ends_with(".toml")) return true;
    return std::filesystem::is_regular_file(status) && !begins_as_hdf5(word);
}

void refuse_run(const std::string& word, const std::string& verb) {
    std::error_code error;
    const bool is_directory = std::filesystem::is_directory(word, error);
    const auto refuse = [&](const char* found) {
        throw UsageError{
            fmt::format("{}: that is {}; longrope {} takes a configuration, a TOML file: of a run "
                        "the one that it was begun with",
                        word, found, verb)};
    };
    if (!is_directory && std::filesystem::is_regular_file(word, error) && begins_as_hdf5(word)) {
        refuse("an HDF5 file, such as a history or documents");
    }
    if (is_directory && std::filesystem::exists(std::filesystem::path{word} / "search.h5", error)) {
        refuse("a run directory");
    }
}

std::filesystem::path history_argument(const std::string& word,
                                       const cxxopts::ParseResult& parsed) {
    const std::filesystem::path named{word};
    if (!is_configuration_word(word)) {
        if (parsed.count("run-directory") > 0) {
            throw UsageError{fmt::format(
                "--run-directory goes with a configuration file, and {} is none", word)};
        }
        std::error_code error;
        const std::filesystem::file_status status = std::filesystem::status(named, error);
        const bool is_missing = status.type() == std::filesystem::file_type::not_found;
        const bool is_directory = std::filesystem::is_directory(status);
        const bool means_directory = is_directory || (is_missing && !word.ends_with(".h5"));
        return means_directory ? named / "search.h5" : named;
    }
    try {
        const coordinator::Configuration configuration =
            coordinator::read_configuration(word, overrides_of(parsed));
        return std::filesystem::path{configuration.run.directory} / "search.h5";
    } catch (const coordinator::ConfigurationError& error) {
        if (word.ends_with(".toml")) throw;
        throw coordinator::ConfigurationError{fmt::format(
            "{}\nIt is no HDF5 file, so that it was read as a configuration.", error.what())};
    }
}

coordinator::Configuration configuration_of(const coordinator::RunHistory& history,
                                            const std::filesystem::path& file,
                                            const std::vector<coordinator::Override>& overrides) {
    return coordinator::parse_configuration(
        history.configuration, fmt::format("{}, attribute configuration", file.string()),
        overrides);
}

std::string missing_inputs(const coordinator::RunHistory& history,
                           const std::filesystem::path& file,
                           const coordinator::Configuration& configuration) {
    if (configuration.evaluator.backend == "synthetic") return "";
    const coordinator::Configuration own = configuration_of(history, file, {});
    const std::string& model = configuration.model.path;
    const bool is_own_model =
        model == own.model.path ||
        std::ranges::find(own.stages, model, &coordinator::StageSettings::model) !=
            own.stages.end();
    std::string text;
    if (is_own_model && !is_model_there(model)) {
        text += fmt::format(
            "\n{} names the model as \"{}\": from another folder, say with --model where it is",
            file.string(), model);
    }
    const std::string& documents = configuration.documents.path;
    if (documents == own.documents.path && !evaluator::is_there(documents)) {
        text += fmt::format(
            "\n{} names the documents as \"{}\": from another folder, say with --documents where "
            "they are",
            file.string(), documents);
    }
    return text;
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
