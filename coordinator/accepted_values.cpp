// SPDX-License-Identifier: Apache-2.0
#include "coordinator/accepted_values.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "coordinator/configuration.hpp"
#include "coordinator/nearest_name.hpp"

namespace longrope::coordinator {
namespace {

std::string quoted_list(const std::vector<std::string>& words) {
    std::vector<std::string> quoted;
    quoted.reserve(words.size());
    for (const std::string& word : words) quoted.push_back(toml_string(word));
    return fmt::format("{}", fmt::join(quoted, ", "));
}

[[noreturn]] void wrong_type(const TomlValue& value, const AcceptedValues& accepted) {
    const std::string range = range_text(accepted);
    throw ConfigurationError{fmt::format("found {}, expected {}{}{}", value.found(),
                                         type_name(accepted), range.empty() ? "" : ": ", range)};
}

[[noreturn]] void out_of_range(const std::string& found, const AcceptedValues& accepted) {
    throw ConfigurationError{fmt::format("found {}, accepted: {}", found, range_text(accepted))};
}

/// Checks one value against each kind of range.
class Checker {
public:
    Checker(const TomlValue& value, const AcceptedValues& accepted)
        : value_{value}, accepted_{accepted} {}

    CheckedValue operator()(const AnyText&) const {
        const std::string& text = get<std::string>();
        const bool control = std::ranges::any_of(text, [](char character) {
            const auto byte = static_cast<unsigned char>(character);
            return byte < 0x20 || byte == 0x7f;
        });
        if (control) {
            throw ConfigurationError{fmt::format(
                "found {}, accepted: text without control characters", toml_string(text))};
        }
        return text;
    }

    CheckedValue operator()(const TruthValue&) const { return get<bool>(); }

    CheckedValue operator()(const IntegerRange& range) const {
        const auto number = get<std::int64_t>();
        const bool inside = number >= range.low && number <= range.high;
        if (!inside && !(range.or_zero && number == 0)) {
            out_of_range(fmt::format("{}", number), accepted_);
        }
        return number;
    }

    CheckedValue operator()(const RealRange& range) const {
        const double number = get_number();
        const bool above = range.low_open ? number > range.low : number >= range.low;
        if (!(above && number <= range.high)) out_of_range(fmt::format("{}", number), accepted_);
        return number;
    }

    CheckedValue operator()(const Choice& choice) const {
        const std::string& word = get<std::string>();
        if (std::ranges::find(choice.available, word) != choice.available.end()) return word;
        if (std::ranges::find(choice.planned, word) != choice.planned.end()) {
            throw ConfigurationError{
                fmt::format("found {}, which is planned, but not in this version; accepted: {}",
                            toml_string(word), range_text(accepted_))};
        }
        std::string message =
            fmt::format("found {}, accepted: {}", toml_string(word), range_text(accepted_));
        if (const auto nearest = nearest_name(word, choice.available)) {
            message += fmt::format(" (did you mean {}?)", toml_string(*nearest));
        }
        throw ConfigurationError{message};
    }

    CheckedValue operator()(const Grammar& grammar) const {
        std::string text;
        if (grammar.or_number && !std::holds_alternative<std::string>(value_.scalar)) {
            text = fmt::format("{}", get_number());
        } else {
            text = get<std::string>();
        }
        auto canonical = grammar.canonical(text);
        if (!canonical) out_of_range(toml_string(text), accepted_);
        return *std::move(canonical);
    }

private:
    template <typename Value>
    const Value& get() const {
        const auto* found = std::get_if<Value>(&value_.scalar);
        if (found == nullptr) wrong_type(value_, accepted_);
        return *found;
    }

    double get_number() const {
        if (const auto* integer = std::get_if<std::int64_t>(&value_.scalar)) {
            return static_cast<double>(*integer);
        }
        return get<double>();
    }

    const TomlValue& value_;
    const AcceptedValues& accepted_;
};

struct TypeName {
    std::string operator()(const AnyText&) const { return "text"; }
    std::string operator()(const TruthValue&) const { return "true or false"; }
    std::string operator()(const IntegerRange&) const { return "integer"; }
    std::string operator()(const RealRange&) const { return "number"; }
    std::string operator()(const Choice&) const { return "text"; }
    std::string operator()(const Grammar& grammar) const {
        if (grammar.or_table) return "table or text";
        return grammar.or_number ? "text or number" : "text";
    }
};

struct RangeText {
    std::string operator()(const AnyText&) const { return ""; }
    std::string operator()(const TruthValue&) const { return ""; }
    std::string operator()(const IntegerRange& range) const {
        return fmt::format("{}[{}, {}]", range.or_zero ? "0 or " : "", range.low, range.high);
    }
    std::string operator()(const RealRange& range) const {
        return fmt::format("{}{}, {}]", range.low_open ? "(" : "[", range.low, range.high);
    }
    std::string operator()(const Choice& choice) const { return quoted_list(choice.available); }
    std::string operator()(const Grammar& grammar) const { return grammar.accepted; }
};

}  // namespace

std::string type_name(const AcceptedValues& accepted) {
    return std::visit(TypeName{}, accepted);
}

std::string range_text(const AcceptedValues& accepted) {
    return std::visit(RangeText{}, accepted);
}

CheckedValue check_value(const TomlValue& value, const AcceptedValues& accepted) {
    return std::visit(Checker{value, accepted}, accepted);
}

}  // namespace longrope::coordinator
