// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <optional>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// Writes the whole history to `file` atomically: temporary name in the same folder, close, fsync,
/// `before_rename`, rename, fsync of the folder. A reader sees the old or the new file, never less.
/// @param before_rename  called last before the rename; an exception leaves the old file in place
/// @throws HistoryError with errno's text and the path, or whatever `before_rename` throws
void write_history(const std::filesystem::path& file, const RunHistory& history,
                   const std::function<void()>& before_rename = {});

/// @returns nullopt if there is no such file
/// @throws HistoryError if it is not a history, truncated, damaged, inconsistent or of a newer
///         format
[[nodiscard]] std::optional<RunHistory> read_history(const std::filesystem::path& file);

}  // namespace longrope::coordinator
