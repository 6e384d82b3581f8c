// SPDX-License-Identifier: Apache-2.0
// The one file that includes toml++, which is slow to compile.
#include "coordinator/toml_document.hpp"

#include <fmt/core.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

#include "coordinator/configuration.hpp"

namespace longrope::coordinator {
namespace {

constexpr std::size_t largest_file = std::size_t{1} << 20;  // bytes; ours have a few thousand

std::string read_text(const std::filesystem::path& file) {
    std::error_code error;
    const auto status = std::filesystem::status(file, error);
    const auto refuse = [&file](const std::string& found) {
        throw ConfigurationError{
            fmt::format("{}: {}. The configuration is a TOML file.", file.string(), found)};
    };
    if (status.type() == std::filesystem::file_type::not_found) refuse("no such file");
    if (error) refuse("cannot read: " + error.message());
    if (std::filesystem::is_directory(status)) refuse("is a directory");
    // To read a pipe could be to wait for ever, and a stopped search is started from its file
    // again.
    if (!std::filesystem::is_regular_file(status)) refuse("is a pipe, a socket or a device");
    errno = 0;
    std::ifstream stream{file, std::ios::binary};
    std::string text;
    std::array<char, 16384> block;
    while (stream && text.size() <= largest_file) {
        stream.read(block.data(), block.size());
        text.append(block.data(), static_cast<std::size_t>(stream.gcount()));
    }
    if (!stream.is_open() || stream.bad()) {
        throw ConfigurationError{fmt::format("{}: cannot read: {}", file.string(),
                                             std::generic_category().message(errno))};
    }
    if (text.size() > largest_file) {
        throw ConfigurationError{fmt::format(
            "{}: longer than {} bytes, so this is no configuration.", file.string(), largest_file)};
    }
    return text;
}

// Dotted keys nest tables. toml++ 3.3 bounds how deep values nest, but not keys, and ends with the
// stack; of ours, the longest has two dots.
constexpr std::size_t most_dots = 256;  // in one header, or one key and its value

/// Where the text that begins at `begin` ends; one that has no end goes to the end of its line, or
/// of the file, where the parser refuses it.
std::size_t end_of_text(std::string_view toml, std::size_t begin) {
    const std::string three(3, toml[begin]);
    const bool over_lines = toml.substr(begin).starts_with(three);
    const std::string_view end = std::string_view{three}.substr(over_lines ? 0 : 2);
    for (std::size_t at = begin + end.size(); at < toml.size(); ++at) {
        if (toml[at] == '\\' && toml[begin] == '"') {
            ++at;
        } else if (toml.substr(at).starts_with(end)) {
            at += end.size();
            // Two quotation marks more may belong to a text over lines.
            while (over_lines && at < toml.size() && toml[at] == toml[begin]) ++at;
            return at;
        } else if (toml[at] == '\n' && !over_lines) {
            return at;
        }
    }
    return toml.size();
}

/// What toml++ 3.3 must not be given: keys that nest too deep, and letters such as é in a key or a
/// number, for which it runs into code that it takes for unreachable. A quotation mark within a
/// word begins no text to the parser, so it must not hide what follows.
struct Unreadable {
    std::size_t line;
    std::string what;
};

std::optional<Unreadable> find_unreadable(std::string_view toml) {
    constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
    std::size_t line = 1;
    std::size_t dots = 0;
    std::string open;           // brackets
    bool in_word = false;       // a key, number or date
    bool after_equals = false;  // where a key's value stands
    for (std::size_t at = toml.starts_with(byte_order_mark) ? byte_order_mark.size() : 0;
         at < toml.size(); ++at) {
        const char character = toml[at];
        switch (character) {
            case '"':
            case '\'': {
                if (in_word) return Unreadable{line, "a quotation mark within a word."};
                const std::size_t end = end_of_text(toml, at);
                const std::string_view skipped = toml.substr(at, end - at);
                line += static_cast<std::size_t>(std::ranges::count(skipped, '\n'));
                at = end - 1;
                in_word = true;
                break;
            }
            case '#':
                at = std::min(toml.find('\n', at), toml.size()) - 1;
                break;
            case '[':
            case '{':
                open += character;
                after_equals = false;
                break;
            case ']':
            case '}':
                if (!open.empty()) open.pop_back();
                in_word = false;
                after_equals = true;
                break;
            case ',':
                in_word = false;
                after_equals = false;
                break;
            case '=':
                if (after_equals || open.ends_with('[')) break;  // part of a word
                in_word = false;
                after_equals = true;
                break;
            case '\n':
                ++line;
                in_word = false;
                if (open.empty()) {
                    dots = 0;
                    after_equals = false;
                }
                break;
            case ' ':
            case '\t':
            case '\r':
                in_word = false;
                break;
            default:
                in_word = true;
                if (character == '.' && ++dots > most_dots) {
                    return Unreadable{
                        line, fmt::format("more than {} dots outside of texts.\nKeys of the "
                                          "configuration have at most two.",
                                          most_dots)};
                }
                if (static_cast<unsigned char>(character) >= 0x80) {
                    return Unreadable{
                        line,
                        "a character that is not ASCII, outside of texts and comments."
                        "\nTexts stand in quotation marks."};
                }
        }
    }
    return std::nullopt;
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
    if (const auto found = find_unreadable(text)) {
        throw ConfigurationError{fmt::format("{}:{}: {}", origin, found->line, found->what)};
    }
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
    if (const auto found = find_unreadable(text)) throw ConfigurationError{found->what};
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
