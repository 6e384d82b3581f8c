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

/// @returns nullopt if there is no such file
/// @throws HistoryError with errno's text and the path
[[nodiscard]] std::optional<std::vector<std::byte>> read_whole_file(
    const std::filesystem::path& file);

/// Removes what writers that ended in the middle of write_file_atomically left of `*.h5` files.
/// Only the holder of the run lock may call it: it alone knows that every other writer has ended.
/// @returns how many were removed
/// @throws HistoryError with errno's text and the path
std::size_t remove_stale_temporaries(const std::filesystem::path& run_directory);

}  // namespace longrope::coordinator
