// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <string>

namespace longrope::cli {

/// JSON for people: indented by two, lists of numbers in lines of some 100 characters, every number
/// with the fewest digits that give it back exactly, a line break at the end.
[[nodiscard]] std::string json_text(const boost::json::value& value);

/// JSON for programs: one line, with its break. What is not UTF-8, in the path of a file say, is
/// U+FFFD there.
[[nodiscard]] std::string json_line(const boost::json::value& value);

}  // namespace longrope::cli
