// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace longrope::coordinator {

/// The known name that an unknown one was probably meant to be: the fewest insertions, deletions,
/// replacements and swaps of neighbouring characters, upper and lower case being equal.
/// @returns  empty if none is within a third of the unknown name's length; the first of equals
[[nodiscard]] std::optional<std::string> nearest_name(std::string_view unknown,
                                                      std::span<const std::string> known);

}  // namespace longrope::coordinator
