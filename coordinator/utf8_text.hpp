// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace longrope::coordinator {

/// Whether `text` is well-formed UTF-8 (RFC 3629) without NUL: what the history file can hold.
[[nodiscard]] bool is_storable_text(std::string_view text);

/// `text` with each byte that is not part of such UTF-8 replaced by U+FFFD: an evaluator's last
/// words may be anything, and readers in other languages fail on text that is not what it says.
[[nodiscard]] std::string storable_text(std::string_view text);

}  // namespace longrope::coordinator
