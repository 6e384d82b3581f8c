// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/config_keys.hpp"

#include <fmt/format.h>

#include <cmath>
#include <utility>

#include "evaluator/evaluator.hpp"
#include "evaluator/model/json_file.hpp"

namespace longrope::evaluator {

namespace json = boost::json;

namespace {

// Far beyond every model, and small enough that no formula of a scaling leaves the numbers.
constexpr double largest_positive = 1e9;
constexpr const char* positive_number = "a number above 0, from 1e-9 to 1e9";

bool is_positive(double value) {
    return value >= 1.0 / largest_positive && value <= largest_positive;
}

/// Nothing if it is no number, or not finite.
std::optional<double> finite(const json::value& value) {
    json::error_code error;
    const auto number = value.to_number<double>(error);
    if (error || !std::isfinite(number)) return std::nullopt;
    return number;
}

std::string described(IntegerRange range) {
    return fmt::format("an integer in [{}, {}]", range.least, range.most);
}

}  // namespace

ConfigKeys::ConfigKeys(const json::object& object, std::string file, std::string prefix)
    : object_{object}, file_{std::move(file)}, prefix_{std::move(prefix)} {}

const json::value* ConfigKeys::find(std::string_view key) const {
    const json::value* value = object_.if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
}

void ConfigKeys::refuse(std::string_view key, const std::string& expected) const {
    const json::value* value = object_.if_contains(key);
    throw EvaluatorError{fmt::format("{}: {}{} {}, expected {}", file_, prefix_, key,
                                     value == nullptr ? "is missing" : "= " + shown(*value),
                                     expected)};
}

std::optional<std::uint32_t> ConfigKeys::integer(std::string_view key, IntegerRange range) const {
    const json::value* value = find(key);
    if (value == nullptr) return std::nullopt;
    json::error_code error;
    const auto number = value->is_double() ? 0 : value->to_number<std::uint64_t>(error);
    if (value->is_double() || error || number < range.least || number > range.most) {
        refuse(key, described(range));
    }
    return static_cast<std::uint32_t>(number);
}

std::uint32_t ConfigKeys::required(std::string_view key, IntegerRange range) const {
    const auto value = integer(key, range);
    if (!value) refuse(key, described(range));
    return *value;
}

std::optional<double> ConfigKeys::real(std::string_view key, const std::string& expected,
                                       const std::function<bool(double)>& accept) const {
    const json::value* value = find(key);
    if (value == nullptr) return std::nullopt;
    const auto number = finite(*value);
    if (!number || !accept(*number)) refuse(key, expected);
    return number;
}

std::optional<double> ConfigKeys::positive(std::string_view key) const {
    return real(key, positive_number, is_positive);
}

double ConfigKeys::required_positive(std::string_view key) const {
    const auto value = positive(key);
    if (!value) refuse(key, positive_number);
    return *value;
}

std::vector<double> ConfigKeys::required_positives(std::string_view key, std::size_t count) const {
    const json::value* value = find(key);
    const json::array* list = value == nullptr ? nullptr : value->if_array();
    if (list == nullptr) refuse(key, fmt::format("a list of {} numbers above 0", count));
    if (list->size() != count) {
        throw EvaluatorError{
            fmt::format("{}: {}{} has {} numbers, expected {}, one for each rotary pair", file_,
                        prefix_, key, list->size(), count)};
    }
    std::vector<double> numbers;
    for (const json::value& element : *list) {
        const auto number = finite(element);
        if (!number || !is_positive(*number)) {
            throw EvaluatorError{fmt::format("{}: {}{}[{}] = {}, expected {}", file_, prefix_, key,
                                             numbers.size(), shown(element), positive_number)};
        }
        numbers.push_back(*number);
    }
    return numbers;
}

std::optional<bool> ConfigKeys::boolean(std::string_view key) const {
    const json::value* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_bool()) refuse(key, "true or false");
    return value->get_bool();
}

std::optional<std::string> ConfigKeys::string(std::string_view key) const {
    const json::value* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_string()) refuse(key, "a string");
    return std::string{value->get_string()};
}

std::optional<ConfigKeys> ConfigKeys::section(std::string_view key) const {
    const json::value* value = find(key);
    if (value == nullptr) return std::nullopt;
    if (!value->is_object()) refuse(key, "a JSON object or null");
    if (value->get_object().empty()) return std::nullopt;
    return ConfigKeys{value->get_object(), file_, fmt::format("{}{}.", prefix_, key)};
}

std::optional<ConfigKeys> rope_section(const ConfigKeys& config) {
    auto section = config.section("rope_scaling");
    return section ? section : config.section("rope_parameters");
}

}  // namespace longrope::evaluator
