// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

namespace longrope::cli {

/// Takes away an export that did not get as far as its report, so that the same command can be
/// given again. What was there before, and what another has made meanwhile, stays.
class UnfinishedExport {
public:
    /// Looks at what is there before anything is written.
    explicit UnfinishedExport(std::filesystem::path output);
    UnfinishedExport(const UnfinishedExport&) = delete;
    UnfinishedExport& operator=(const UnfinishedExport&) = delete;
    ~UnfinishedExport();

    /// Makes the folder, unless it was there.
    /// @throws UsageError if it cannot be made, or has appeared since
    void make_folder();
    /// What is there now is this export's, unless it was there before.
    void own() noexcept;
    void keep() noexcept { owned_ = false; }

private:
    std::filesystem::path output_;
    std::filesystem::file_type before_;
    bool owned_ = false;
};

}  // namespace longrope::cli
