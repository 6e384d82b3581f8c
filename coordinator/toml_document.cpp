// SPDX-License-Identifier: Apache-2.0
// The one file that includes toml++, which is slow to compile.
#include "coordinator/toml_document.hpp"

#include <fmt/core.h>
#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include "coordinator/configuration.hpp"

namespace longrope::coordinator {
namespace {

constexpr std::size_t largest_file = std::size_t{1} << 20;  // bytes; ours have a few thousand

std::string read_text(const std::filesystem::path& file) {
    std::error_code ignored;
    const auto status = std::filesystem::status(file, ignored);
    if (!std::filesystem::exists(status)) {
        throw ConfigurationError{
            fmt::format("{}: no such file. The configuration is a TOML file.", file.string())};
    }
    if (std::filesystem::is_directory(status)) {
        throw ConfigurationError{
            fmt::format("{}: is a directory. The configuration is a TOML file.", file.string())};
    }
    errno = 0;
    std::ifstream stream{file, std::ios::binary};
    std::string text(largest_file + 1, '\0');
    if (stream) stream.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!stream.is_open() || stream.bad()) {
        throw ConfigurationError{fmt::format("{}: cannot read: {}", file.string(),
                                             std::generic_category().message(errno))};
    }
    text.resize(static_cast<std::size_t>(stream.gcount()));
    if (text.size() > largest_file) {
        throw ConfigurationError{fmt::format(
            "{}: longer than {} bytes, so this is no configuration.", file.string(), largest_file)};
    }
    return text;
}

TomlValue value_of(const toml::node& node) {
    if (const auto* text = node.as_string()) return {text->get(), "text"};
    if (const auto* flag = node.as_boolean()) return {flag->get(), "a truth value"};
    if (const auto* integer = node.as_integer()) return {integer->get(), "an integer"};
    if (const auto* real = node.as_floating_point()) return {real->get(), "a real number"};
    if (node.is_table()) return {{}, "a table"};
    if (node.is_array()) return {{}, "an array"};
    return {{}, "a date or time"};
}

/// Appends `table` and the tables below it.
void flatten(const toml::table& table, TomlTable head, std::vector<TomlTable>& tables) {
    head.line = table.source().begin.line;
    const std::string prefix = head.path.empty() ? "" : head.path + ".";
    std::vector<TomlTable> below;
    for (const auto& [key, node] : table) {
        const std::string name{key.str()};
        if (const auto* child = node.as_table()) {
            flatten(*child, {prefix + name, false, head.element, 0, {}}, below);
        } else if (const auto* list = node.as_array();
                   list != nullptr && list->is_homogeneous<toml::table>()) {
            for (std::size_t i = 0; i < list->size(); ++i) {
                flatten(*list->get_as<toml::table>(i), {prefix + name, true, i, 0, {}}, below);
            }
        } else {
            head.entries.push_back({name, value_of(node), node.source().begin.line});
        }
    }
    std::ranges::stable_sort(head.entries, {}, &TomlEntry::line);
    // [a.b] alone makes an empty [a], which nobody wrote.
    if (!head.entries.empty() || below.empty()) tables.push_back(std::move(head));
    tables.insert(tables.end(), below.begin(), below.end());
}

}  // namespace

std::string TomlValue::found() const {
    if (const auto* text = std::get_if<std::string>(&scalar)) {
        return fmt::format("{} ({})", toml_string(*text), kind);
    }
    if (const auto* flag = std::get_if<bool>(&scalar)) return fmt::format("{} ({})", *flag, kind);
    if (const auto* integer = std::get_if<std::int64_t>(&scalar)) {
        return fmt::format("{} ({})", *integer, kind);
    }
    if (const auto* real = std::get_if<double>(&scalar)) return fmt::format("{} ({})", *real, kind);
    return kind;
}

std::vector<TomlTable> read_toml(const std::filesystem::path& file) {
    return parse_toml(read_text(file), file.string());
}

std::vector<TomlTable> parse_toml(std::string_view text, const std::string& origin) {
    try {
        std::vector<TomlTable> tables;
        flatten(toml::parse(text), {}, tables);
        std::ranges::stable_sort(tables, {}, &TomlTable::line);
        return tables;
    } catch (const toml::parse_error& error) {
        throw ConfigurationError{fmt::format("{}:{}:{}: {}", origin, error.source().begin.line,
                                             error.source().begin.column, error.description())};
    }
}

TomlValue parse_toml_value(std::string_view text) {
    try {
        const toml::table table = toml::parse(fmt::format("value = {}", text));
        if (table.size() != 1) throw ConfigurationError{"more than one value"};
        return value_of(table.begin()->second);
    } catch (const toml::parse_error& error) {
        throw ConfigurationError{std::string{error.description()}};
    }
}

std::string toml_string(std::string_view text) {
    std::string quoted = "\"";
    for (const char character : text) {
        const auto byte = static_cast<unsigned char>(character);
        if (character == '"' || character == '\\') {
            quoted += '\\';
            quoted += character;
        } else if (byte < 0x20 || byte == 0x7f) {
            quoted += fmt::format("\\u{:04X}", byte);
        } else {
            quoted += character;
        }
    }
    return quoted + '"';
}

}  // namespace longrope::coordinator
