// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "coordinator/history_layout.hpp"

namespace longrope::coordinator {

/// SHA-256, in hexadecimal, over every value of the history: fields in the order of
/// history_layout.hpp, numbers as their little-endian bytes, texts and arrays preceded by their
/// length. Two histories have the same content exactly when their digests agree, NaN included; the
/// file carries it, so that a flipped bit cannot pass for a score.
/// @param version  the fields of this format version are hashed
[[nodiscard]] std::string content_digest(const RunHistory& history,
                                         std::uint32_t version = history_format_version);

}  // namespace longrope::coordinator
