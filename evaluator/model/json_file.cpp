// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/json_file.hpp"

#include <fmt/format.h>

#include <boost/json/basic_parser_impl.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value_stack.hpp>
#include <cerrno>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <system_error>
#include <unordered_set>
#include <utility>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "evaluator/input_file.hpp"

namespace longrope::evaluator {

namespace {

namespace json = boost::json;

constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

/// Builds values as Boost.JSON's parser does, but for what a number's text says, and stops at a key
/// that an object has twice, of which that parser keeps the last.
class ValueHandler {
public:
    static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
    static constexpr std::size_t max_array_size = max_object_size;
    static constexpr std::size_t max_key_size = max_object_size;
    static constexpr std::size_t max_string_size = max_object_size;

    bool on_document_begin(json::error_code&) {
        stack.reset();
        return true;
    }
    bool on_document_end(json::error_code&) { return true; }
    bool on_object_begin(json::error_code&) {
        objects_.emplace_back();
        return true;
    }
    bool on_object_end(std::size_t members, json::error_code&) {
        objects_.pop_back();
        stack.push_object(members);
        return true;
    }
    bool on_array_begin(json::error_code&) { return true; }
    bool on_array_end(std::size_t elements, json::error_code&) {
        stack.push_array(elements);
        return true;
    }
    bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
        key_.append(part.data(), part.size());
        stack.push_chars(part);
        return true;
    }
    bool on_key(json::string_view part, std::size_t, json::error_code& error) {
        key_.append(part.data(), part.size());
        stack.push_key(part);
        std::string key = std::exchange(key_, {});
        if (objects_.back().insert(key).second) return true;
        repeated = std::move(key);
        error = json::error::syntax;
        return false;
    }
    bool on_string_part(json::string_view part, std::size_t, json::error_code&) {
        stack.push_chars(part);
        return true;
    }
    bool on_string(json::string_view part, std::size_t, json::error_code&) {
        stack.push_string(part);
        return true;
    }
    bool on_number_part(json::string_view part, json::error_code&) {
        number_.append(part.data(), part.size());
        return true;
    }
    bool on_int64(std::int64_t value, json::string_view, json::error_code&) {
        number_.clear();
        stack.push_int64(value);
        return true;
    }
    bool on_uint64(std::uint64_t value, json::string_view, json::error_code&) {
        number_.clear();
        stack.push_uint64(value);
        return true;
    }
    bool on_double(double value, json::string_view rest, json::error_code&) {
        number_.append(rest.data(), rest.size());
        double nearest = 0.0;
        const char* const end = number_.data() + number_.size();
        const auto [stop, error] = std::from_chars(number_.data(), end, nearest);
        // What is beyond the doubles stays what the parser makes of it: infinity, or 0.
        stack.push_double(error == std::errc{} && stop == end ? nearest : value);
        number_.clear();
        return true;
    }
    bool on_bool(bool value, json::error_code&) {
        stack.push_bool(value);
        return true;
    }
    bool on_null(json::error_code&) {
        stack.push_null();
        return true;
    }
    bool on_comment_part(json::string_view, json::error_code&) { return true; }
    bool on_comment(json::string_view, json::error_code&) { return true; }

    json::value_stack stack{};
    std::optional<std::string> repeated{};

private:
    std::vector<std::unordered_set<std::string>> objects_{};  // the keys of those that are open
    std::string key_{};
    std::string number_{};
};

}  // namespace

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

boost::json::value parse_json(std::string_view text, const std::string& what) {
    if (text.starts_with(byte_order_mark)) text.remove_prefix(byte_order_mark.size());
    json::basic_parser<ValueHandler> parser{json::parse_options{}};
    json::error_code error;
    const std::size_t consumed = parser.write_some(false, text.data(), text.size(), error);
    if (!error && consumed < text.size()) error = json::error::extra_data;
    if (const auto& key = parser.handler().repeated) {
        throw EvaluatorError{fmt::format(
            "{}: the key {} is given twice in one object, expected once: take one of them away",
            what, shown(json::value(*key)))};
    }
    if (error) {
        throw EvaluatorError{
            fmt::format("{}: not valid JSON: {} at byte {} of {}: correct it, or get it again",
                        what, error.message(), consumed, text.size())};
    }
    return parser.handler().stack.release();
}

boost::json::object parse_json_object(std::string_view text, const std::string& what) {
    json::value value = parse_json(text, what);
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
