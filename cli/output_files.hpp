// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// A file, and how a message calls it: "--csv table.csv", "the documents file books.h5".
struct NamedFile {
    std::string said;
    std::filesystem::path file;
};

/// What a run keeps in its directory.
/// @param history  its search.h5
[[nodiscard]] std::vector<NamedFile> files_of_run(const std::filesystem::path& history);

/// What a configuration leads to: model folders, documents and what the run keeps.
[[nodiscard]] std::vector<NamedFile> files_of(const coordinator::Configuration& configuration);

/// Whether files may be written where the user says, before anything is computed for them: none may
/// be one of `inputs` or another output, by whatever path, nor a folder, a device or the like.
/// @param replace  accepts files that are there
/// @throws UsageError naming both files
void check_output_files(const std::vector<NamedFile>& outputs, const std::vector<NamedFile>& inputs,
                        bool replace);

}  // namespace longrope::cli
