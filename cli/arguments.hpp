// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cxxopts.hpp>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// A command line that cannot be understood; the message says what would be.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The words after the verb.
using Words = std::vector<std::string>;

/// Adds flags that override settings of a configuration file: those of the settings that a verb
/// uses, so that none is accepted and ignored.
/// @param flags  names without dashes; "stage", which says what stage --iterations is for, is one
void add_setting_flags(cxxopts::Options& options, const std::vector<std::string_view>& flags);
/// Adds all of them.
void add_setting_flags(cxxopts::Options& options);

/// Settings from LONGROPE_* variables, then from flags, which win.
[[nodiscard]] std::vector<coordinator::Override> overrides_of(const cxxopts::ParseResult& parsed);

/// Parses the words; the help text goes to standard output if it is asked for.
/// @returns nothing after --help
/// @throws UsageError naming the flag
[[nodiscard]] std::optional<cxxopts::ParseResult> parse(cxxopts::Options& options,
                                                        const Words& words);

/// The single positional word of a verb, called `name` in messages.
/// @throws UsageError if there is none, or more, or it is empty, which as a path is the folder we
/// are in
[[nodiscard]] std::string positional(const cxxopts::ParseResult& parsed, const std::string& name,
                                     const std::string& verb);

/// What a flag was given, or "".
[[nodiscard]] std::string text_of(const cxxopts::ParseResult& parsed, const char* flag);

/// The stage that --stage names.
/// @throws UsageError naming the stages that there are
[[nodiscard]] const coordinator::StageSettings& named_stage(
    const coordinator::Configuration& configuration, const std::string& wanted);

/// The number that the whole text spells, without a plus or blanks before it; nothing if it is
/// none, or does not fit the type.
template <typename Number>
[[nodiscard]] std::optional<Number> spelled_number(std::string_view text) {
    Number value{};
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    if (error != std::errc{} || stop != end) return std::nullopt;
    return value;
}

/// @throws UsageError naming the flag and what is accepted
template <typename Integer>
[[nodiscard]] Integer parse_integer(const std::string& text, const std::string& flag) {
    if (const auto value = spelled_number<Integer>(text)) return *value;
    throw UsageError{fmt::format("{}: found \"{}\", expected an integer of 0 to {}", flag, text,
                                 std::numeric_limits<Integer>::max())};
}

/// Refuses what would be two rows, two columns or two groups of one name.
/// @throws UsageError naming the flag and the value
template <typename Value>
void refuse_repetition(const std::vector<Value>& values, const std::string& flag) {
    for (auto value = values.begin(); value != values.end(); ++value) {
        if (std::find(values.begin(), value, *value) == value) continue;
        throw UsageError{fmt::format("{}: {} is given twice", flag, *value)};
    }
}

/// Splits "256,512,1024" at the commas. Empty parts are an error.
[[nodiscard]] std::vector<std::string> comma_separated(const std::string& text,
                                                       const std::string& flag);

}  // namespace longrope::cli
