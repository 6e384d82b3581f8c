// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/repeated_key.hpp"

#include <boost/json/basic_parser_impl.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_set>
#include <utility>
#include <vector>

namespace longrope::evaluator {

namespace {

namespace json = boost::json;

/// Follows Boost.JSON's parser, whose own values keep the last of equal keys and forget the others.
class KeyHandler {
public:
    static constexpr std::size_t max_object_size = std::numeric_limits<std::size_t>::max();
    static constexpr std::size_t max_array_size = max_object_size;
    static constexpr std::size_t max_key_size = max_object_size;
    static constexpr std::size_t max_string_size = max_object_size;

    bool on_object_begin(json::error_code&) {
        objects_.emplace_back();
        return true;
    }
    bool on_object_end(std::size_t, json::error_code&) {
        objects_.pop_back();
        return true;
    }
    bool on_key_part(json::string_view part, std::size_t, json::error_code&) {
        key_.append(part.data(), part.size());
        return true;
    }
    bool on_key(json::string_view part, std::size_t, json::error_code& error) {
        key_.append(part.data(), part.size());
        std::string key = std::exchange(key_, {});
        if (objects_.back().insert(key).second) return true;
        repeated = std::move(key);
        error = json::error::syntax;  // it is enough
        return false;
    }

    bool on_document_begin(json::error_code&) { return true; }
    bool on_document_end(json::error_code&) { return true; }
    bool on_array_begin(json::error_code&) { return true; }
    bool on_array_end(std::size_t, json::error_code&) { return true; }
    bool on_string_part(json::string_view, std::size_t, json::error_code&) { return true; }
    bool on_string(json::string_view, std::size_t, json::error_code&) { return true; }
    bool on_number_part(json::string_view, json::error_code&) { return true; }
    bool on_int64(std::int64_t, json::string_view, json::error_code&) { return true; }
    bool on_uint64(std::uint64_t, json::string_view, json::error_code&) { return true; }
    bool on_double(double, json::string_view, json::error_code&) { return true; }
    bool on_bool(bool, json::error_code&) { return true; }
    bool on_null(json::error_code&) { return true; }
    bool on_comment_part(json::string_view, json::error_code&) { return true; }
    bool on_comment(json::string_view, json::error_code&) { return true; }

    std::optional<std::string> repeated{};

private:
    std::vector<std::unordered_set<std::string>> objects_{};  // the keys of those that are open
    std::string key_{};
};

}  // namespace

std::optional<std::string> repeated_key(std::string_view json_text) {
    json::basic_parser<KeyHandler> parser{json::parse_options{}};
    json::error_code error;
    parser.write_some(false, json_text.data(), json_text.size(), error);
    return parser.handler().repeated;
}

}  // namespace longrope::evaluator
