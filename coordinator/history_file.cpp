// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_file.hpp"

#include <fmt/format.h>

#include <cstddef>
#include <vector>

#include "coordinator/atomic_file.hpp"
#include "coordinator/history_decoding.hpp"
#include "coordinator/history_encoding.hpp"

namespace longrope::coordinator {

void write_history(const std::filesystem::path& file, const RunHistory& history,
                   const std::function<void()>& before_rename) {
    write_file_atomically(file, encode_history(history), before_rename);
}

std::optional<RunHistory> read_history(const std::filesystem::path& file) {
    const std::optional<std::vector<std::byte>> content = read_whole_file(file);
    if (!content) return std::nullopt;
    try {
        return decode_history(*content, file.string());
    } catch (const NewerHistory&) {
        throw;
    } catch (const HistoryError& error) {
        throw HistoryError{
            fmt::format("{}.\nNothing was changed: bring back a copy of the history, or search "
                        "anew in another run directory.",
                        error.what())};
    }
}

}  // namespace longrope::coordinator
