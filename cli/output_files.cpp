// SPDX-License-Identifier: Apache-2.0
#include "cli/output_files.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <system_error>

#include "cli/arguments.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

void add_model(std::vector<NamedFile>& files, const std::string& folder) {
    if (folder.empty()) return;
    std::error_code error;  // a folder that cannot be listed is told where it is read
    fs::directory_iterator entry{folder, error};
    for (; !error && entry != fs::directory_iterator{}; entry.increment(error)) {
        files.push_back({fmt::format("the model's {}", entry->path().string()), entry->path()});
    }
}

/// The path without links and dots, as far as it exists.
fs::path whole_path(const fs::path& file) {
    std::error_code error;
    const fs::path absolute = fs::absolute(file);
    const fs::path whole = fs::weakly_canonical(absolute, error);
    return error ? absolute.lexically_normal() : whole;
}

bool is_same_file(const fs::path& one, const fs::path& other) {
    std::error_code error;
    return fs::equivalent(one, other, error) || whole_path(one) == whole_path(other);
}

void refuse_same(const NamedFile& output, const NamedFile& other) {
    if (!is_same_file(output.file, other.file)) return;
    throw UsageError{fmt::format("{}: that is {}: give another name", output.said, other.said)};
}

void check_place(const NamedFile& output, bool replace) {
    const fs::path& file = output.file;
    const fs::path folder = file.has_parent_path() ? file.parent_path() : ".";
    std::error_code error;
    const fs::file_status found = fs::status(file, error);
    if (fs::is_directory(found)) {
        throw UsageError{fmt::format("{}: it is a folder, expected a file to write", output.said)};
    }
    if (fs::exists(found) && !fs::is_regular_file(found)) {
        throw UsageError{
            fmt::format("{}: it is no regular file, expected a file to write", output.said)};
    }
    if (!fs::is_directory(folder, error)) {
        throw UsageError{fmt::format("{}: the folder {} does not exist: make it first", output.said,
                                     folder.string())};
    }
    if (fs::exists(found) && !replace) {
        throw UsageError{fmt::format("{}: it exists already; --force replaces it", output.said)};
    }
    if (::access(folder.c_str(), W_OK | X_OK) != 0) {
        throw UsageError{
            fmt::format("{}: the folder {} cannot be written", output.said, folder.string())};
    }
}

}  // namespace

std::vector<NamedFile> files_of_run(const fs::path& history) {
    const fs::path directory = history.parent_path();
    std::vector<NamedFile> files{{fmt::format("the history {}", history.string()), history}};
    for (const char* name : {"log.txt", "lock"}) {
        const fs::path file = directory / name;
        files.push_back({fmt::format("the run's {}", file.string()), file});
    }
    return files;
}

std::vector<NamedFile> files_of(const coordinator::Configuration& configuration) {
    std::vector<NamedFile> files;
    if (!configuration.run.directory.empty()) {
        files = files_of_run(fs::path{configuration.run.directory} / "search.h5");
    }
    if (configuration.evaluator.backend == "synthetic") return files;
    const std::string& documents = configuration.documents.path;
    files.push_back({fmt::format("the documents file {}", documents), documents});
    add_model(files, configuration.model.path);
    for (const coordinator::StageSettings& stage : configuration.stages) {
        add_model(files, stage.model);
    }
    return files;
}

void check_output_files(const std::vector<NamedFile>& outputs, const std::vector<NamedFile>& inputs,
                        bool replace) {
    for (auto output = outputs.begin(); output != outputs.end(); ++output) {
        if (output->file.empty()) {
            throw UsageError{
                fmt::format("{}: the name is empty, expected a file to write", output->said)};
        }
        if (output->file == "-") {
            throw UsageError{fmt::format(
                "{}: standard output has the report; name a file (./- is one of that name)",
                output->said)};
        }
        for (const NamedFile& input : inputs) refuse_same(*output, input);
        for (auto other = outputs.begin(); other != output; ++other) refuse_same(*output, *other);
        check_place(*output, replace);
    }
}

}  // namespace longrope::cli
