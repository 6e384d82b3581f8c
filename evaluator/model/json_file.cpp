// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/json_file.hpp"

#include <fmt/format.h>

#include <boost/json/parser.hpp>
#include <boost/json/serialize.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "evaluator/evaluator.hpp"
#include "evaluator/input_file.hpp"
#include "evaluator/model/repeated_key.hpp"

namespace longrope::evaluator {

std::string read_text_file(const std::filesystem::path& file, std::uintmax_t limit_bytes) {
    const std::uintmax_t size =
        size_of_input(file, fmt::format("a text file of at most {} bytes", limit_bytes));
    if (size > limit_bytes) {
        throw EvaluatorError{
            fmt::format("{}: {} bytes, expected at most {}", file.string(), size, limit_bytes)};
    }
    std::string text(static_cast<std::size_t>(size), '\0');
    errno = 0;
    std::ifstream stream{file, std::ios::binary};
    if (!stream) {
        throw EvaluatorError{
            fmt::format("{}: cannot be read: {}", file.string(), std::strerror(errno))};
    }
    stream.read(text.data(), static_cast<std::streamsize>(size));
    if (!stream || static_cast<std::uintmax_t>(stream.gcount()) != size) {
        throw EvaluatorError{fmt::format("{}: cannot read its {} bytes", file.string(), size)};
    }
    return text;
}

boost::json::object parse_json_object(std::string_view text, const std::string& what) {
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    boost::json::parser parser;
    boost::json::error_code error;
    const std::size_t consumed = parser.write(text.data(), text.size(), error);
    if (error) {
        throw EvaluatorError{
            fmt::format("{}: not valid JSON: {} at byte {} of {}: correct it, or get it again",
                        what, error.message(), consumed, text.size())};
    }
    boost::json::value value = parser.release();
    if (!value.is_object()) {
        throw EvaluatorError{
            fmt::format("{}: found {}, expected a JSON object", what, shown(value))};
    }
    if (const auto key = repeated_key(text)) {
        throw EvaluatorError{fmt::format(
            "{}: the key {} is given twice in one object, expected once: take one of them away",
            what, shown(boost::json::value(*key)))};
    }
    return std::move(value.get_object());
}

std::string shown(const boost::json::value& value) {
    constexpr std::size_t longest = 60;
    std::string text = boost::json::serialize(value);
    if (text.size() > longest) text = text.substr(0, longest) + "...";
    return text;
}

}  // namespace longrope::evaluator
