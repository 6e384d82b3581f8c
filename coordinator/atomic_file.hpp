// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <vector>

namespace longrope::coordinator {

/// Writes `content` to a temporary name beside `file`, closes, fsyncs, calls `before_rename`,
/// renames and fsyncs the folder: whoever reads `file` sees the old or the new content, never less,
/// and after the return it survives a power failure. On any failure the temporary is removed.
/// Two calls of one process for one file must not overlap: they would share the temporary.
/// @throws HistoryError with errno's text and the path, or whatever `before_rename` throws
void write_file_atomically(const std::filesystem::path& file, std::span<const std::byte> content,
                           const std::function<void()>& before_rename = {});

/// As write_file_atomically, but a file that is there already is left alone, and the folder's fsync
/// is left out. Where the file system has no hard links, a reader may see the file before its
/// content is complete.
/// @returns whether the file was created; false also if another removed the temporary
/// @throws HistoryError with errno's text and the path
[[nodiscard]] bool create_file_atomically(const std::filesystem::path& file,
                                          std::span<const std::byte> content);

/// @returns nullopt if there is no such file
/// @throws HistoryError with errno's text and the path
[[nodiscard]] std::optional<std::vector<std::byte>> read_whole_file(
    const std::filesystem::path& file);

/// Removes what writers that ended in the middle of the functions above left of `*.h5` files and of
/// the lock. Only the holder of the run lock may call it, and before it reads the history: a writer
/// that was suspended just before its rename then either renamed in time to be read, or has nothing
/// left to rename.
/// @returns how many were removed
/// @throws HistoryError with errno's text and the path
std::size_t remove_stale_temporaries(const std::filesystem::path& run_directory);

}  // namespace longrope::coordinator
