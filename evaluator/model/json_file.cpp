// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/json_file.hpp"

#include <fmt/format.h>

#include <boost/json/parser.hpp>
#include <boost/json/serialize.hpp>
#include <fstream>
#include <system_error>
#include <utility>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

std::string read_text_file(const std::filesystem::path& file, std::uintmax_t limit_bytes) {
    std::error_code error;
    const std::uintmax_t size = std::filesystem::file_size(file, error);
    if (error) {
        throw EvaluatorError{fmt::format("{}: cannot be read: {}", file.string(), error.message())};
    }
    if (size > limit_bytes) {
        throw EvaluatorError{
            fmt::format("{}: {} bytes, expected at most {}", file.string(), size, limit_bytes)};
    }
    std::string text(static_cast<std::size_t>(size), '\0');
    std::ifstream stream{file, std::ios::binary};
    stream.read(text.data(), static_cast<std::streamsize>(size));
    if (!stream || static_cast<std::uintmax_t>(stream.gcount()) != size) {
        throw EvaluatorError{fmt::format("{}: cannot read its {} bytes", file.string(), size)};
    }
    return text;
}

boost::json::object parse_json_object(std::string_view text, const std::string& what) {
    boost::json::parser parser;
    boost::json::error_code error;
    const std::size_t consumed = parser.write(text.data(), text.size(), error);
    if (error) {
        throw EvaluatorError{fmt::format("{}: not valid JSON: {} at byte {} of {}", what,
                                         error.message(), consumed, text.size())};
    }
    boost::json::value value = parser.release();
    if (!value.is_object()) {
        throw EvaluatorError{
            fmt::format("{}: found {}, expected a JSON object", what, shown(value))};
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
