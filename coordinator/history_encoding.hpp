// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

inline constexpr const char* history_format_name = "longrope-history";

/// The bytes of the HDF5 file that holds `history`, built in memory: HDF5 never sees the disk, so
/// that every failing system call is ours, with its errno. Equal histories give equal bytes. Text
/// that is not UTF-8 is stored with U+FFFD in the place of each offending byte.
/// @throws HistoryError with HDF5's own words
[[nodiscard]] std::vector<std::byte> encode_history(const RunHistory& history);

}  // namespace longrope::coordinator
