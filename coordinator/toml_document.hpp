// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace longrope::coordinator {

/// A value as it was written: a scalar, or nothing for arrays, tables, dates and times.
struct TomlValue {
    std::variant<std::monostate, std::string, bool, std::int64_t, double> scalar;
    std::string kind;  ///< "text", "an integer", "an array", "a table" …

    /// `"su" (text)`, `16 (an integer)`, `an array`: what an error says was found.
    [[nodiscard]] std::string found() const;
};

/// One `name = value` of a table.
struct TomlEntry {
    std::string name;
    TomlValue value;
    std::uint32_t line = 0;
};

/// One table in the order of the file; [[stage]] gives one per element.
struct TomlTable {
    std::string path;         ///< dotted; empty for the top level
    bool in_array = false;    ///< written [[path]]
    std::size_t element = 0;  ///< index in its array
    std::uint32_t line = 0;
    std::vector<TomlEntry> entries;
};

/// The tables of a TOML file, by line; a table that only holds other tables is left out.
/// @throws ConfigurationError naming the file, or file:line:column for a text that is not TOML
[[nodiscard]] std::vector<TomlTable> read_toml(const std::filesystem::path& file);

/// The same of a text; `origin` stands for the file in messages.
[[nodiscard]] std::vector<TomlTable> parse_toml(std::string_view text, const std::string& origin);

/// The value of a TOML text such as `16`, `true` or `"su"`.
/// @throws ConfigurationError without origin: what is wrong with the text
[[nodiscard]] TomlValue parse_toml_value(std::string_view text);

/// `text` as a TOML string, quoted and escaped.
[[nodiscard]] std::string toml_string(std::string_view text);

}  // namespace longrope::coordinator
