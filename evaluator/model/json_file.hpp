// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace longrope::evaluator {

/// Reads a whole regular file.
/// @throws EvaluatorError naming the file if it is missing, unreadable or above `limit_bytes`
[[nodiscard]] std::string read_text_file(const std::filesystem::path& file,
                                         std::uintmax_t limit_bytes);

/// Parses JSON. Numbers with a fraction or exponent have the nearest double, which Boost.JSON's own
/// parser misses by a bit or two from 17 digits on. A key that an object has twice is refused: JSON
/// leaves it to the reader which counts, so that two programs may read two models from one file. A
/// byte-order mark before the text is skipped.
/// @param what  where the text comes from, for the message
/// @throws EvaluatorError naming `what`, and the key, or the byte at which parsing stopped and why
[[nodiscard]] boost::json::value parse_json(std::string_view text, const std::string& what);

/// Parses `text` as one JSON object.
/// @param what  where the text comes from, for the message
/// @throws EvaluatorError naming `what`, the byte at which parsing stopped and why
[[nodiscard]] boost::json::object parse_json_object(std::string_view text, const std::string& what);

/// A JSON value for a message: its text, cut after 60 characters.
[[nodiscard]] std::string shown(const boost::json::value& value);

}  // namespace longrope::evaluator
