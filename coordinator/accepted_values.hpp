// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/toml_document.hpp"

namespace longrope::coordinator {

/// Text without control characters.
struct AnyText {};

/// true or false.
struct TruthValue {};

/// Integers of [low, high], and 0 if `or_zero`.
struct IntegerRange {
    std::int64_t low = 0;
    std::int64_t high = 0;
    bool or_zero = false;
};

/// Real numbers of [low, high], or of (low, high] if `low_open`.
struct RealRange {
    double low = 0;
    double high = 0;
    bool low_open = false;
};

/// One of a few words; `planned` ones are known, but this version does not have them yet.
struct Choice {
    std::vector<std::string> available;
    std::vector<std::string> planned;
};

/// Text of a certain form. `canonical` gives equal texts for equal meanings, empty for text of
/// another form.
struct Grammar {
    std::string accepted;
    std::optional<std::string> (*canonical)(std::string_view text) = nullptr;
    bool or_number = false;  ///< a bare number is read as its text
    bool or_table = false;   ///< a table of numbers is read as the text "key = value, …"
};

using AcceptedValues = std::variant<AnyText, TruthValue, IntegerRange, RealRange, Choice, Grammar>;

/// "integer", "text or number" …
[[nodiscard]] std::string type_name(const AcceptedValues& accepted);

/// "0 or [2, 4096]", `"su", "yarn"`; empty if any value of the type will do.
[[nodiscard]] std::string range_text(const AcceptedValues& accepted);

/// A value that is in a setting's type and range.
using CheckedValue = std::variant<std::string, bool, std::int64_t, double>;

/// `value` in its canonical form.
/// @throws ConfigurationError without origin: "found …, expected …", with what is accepted
[[nodiscard]] CheckedValue check_value(const TomlValue& value, const AcceptedValues& accepted);

}  // namespace longrope::coordinator
