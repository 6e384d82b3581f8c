// SPDX-License-Identifier: Apache-2.0
#include "cli/unfinished_export.hpp"

#include <fmt/format.h>

#include <system_error>
#include <utility>
#include <vector>

#include "cli/arguments.hpp"

namespace longrope::cli {

namespace fs = std::filesystem;

UnfinishedExport::UnfinishedExport(fs::path output)
    : output_{std::move(output)}, before_{fs::symlink_status(output_).type()} {}

UnfinishedExport::~UnfinishedExport() {
    if (!owned_) return;
    std::error_code ignored;  // whoever is told of an error is told why the export ended
    if (before_ == fs::file_type::not_found) {
        fs::remove_all(output_, ignored);
        return;
    }
    std::vector<fs::path> written;  // into a folder that was there, and empty
    for (fs::directory_iterator entry{output_, ignored}, end; !ignored && entry != end;
         entry.increment(ignored)) {
        written.push_back(entry->path());
    }
    for (const fs::path& file : written) fs::remove_all(file, ignored);
}

void UnfinishedExport::make_folder() {
    std::error_code error;
    const bool made = fs::create_directory(output_, error);
    if (error) {
        throw UsageError{fmt::format("--output {}: the folder cannot be made: {}", output_.string(),
                                     error.message())};
    }
    if (!made && before_ == fs::file_type::not_found) {
        throw UsageError{
            fmt::format("--output {}: another export has made it meanwhile: give another name",
                        output_.string())};
    }
    owned_ = true;
}

void UnfinishedExport::own() noexcept {
    owned_ = owned_ || before_ == fs::file_type::not_found;
}

}  // namespace longrope::cli
