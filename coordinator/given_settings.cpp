// SPDX-License-Identifier: Apache-2.0
#include "coordinator/given_settings.hpp"

#include <fmt/core.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <type_traits>

#include "coordinator/nearest_name.hpp"

namespace longrope::coordinator {
namespace {

const SettingTable* find_table(std::string_view name) {
    const auto found = std::ranges::find(setting_tables(), name, &SettingTable::name);
    return found == setting_tables().end() ? nullptr : &*found;
}

/// As a table begins in the file.
std::string header_of(const std::string& table) {
    return table == "stage" ? "[[stage]]" : fmt::format("[{}]", table);
}

[[noreturn]] void unknown_table(const TomlTable& table, const std::string& origin) {
    if (const Setting* setting = find_setting(table.path)) {
        throw ConfigurationError{fmt::format("{}: {}: found a table, expected {}", origin,
                                             table.path, type_name(setting->accepted))};
    }
    std::vector<std::string> names;
    for (const SettingTable& known : setting_tables()) names.push_back(known.name);
    const auto nearest = nearest_name(table.path, names);
    throw ConfigurationError{
        fmt::format("{}: unknown table [{}]{}.\nKnown tables: {}.", origin, table.path,
                    nearest ? fmt::format(" (did you mean {}?)", header_of(*nearest)) : "",
                    fmt::join(names, ", "))};
}

[[noreturn]] void unknown_key(const std::string& table, const std::string& key,
                              const std::string& origin) {
    if (find_table(key) != nullptr) {
        throw ConfigurationError{
            fmt::format("{}: {} is a table: write {}.", origin, key, header_of(key))};
    }
    std::vector<std::string> names;
    for (const Setting& setting : settings()) {
        if (setting.table == table) names.push_back(setting.name);
    }
    throw ConfigurationError{fmt::format(
        "{}: unknown key {}{}.{}", origin, key, suggest_key(key),
        names.empty() ? "" : fmt::format("\nKeys of {}: {}.", table, fmt::join(names, ", ")))};
}

/// An override's text as a value. Text may stand bare; what is not TOML is text, for the check of
/// types to refuse.
TomlValue override_value(const Setting& setting, const Override& override) {
    const bool textual = std::holds_alternative<AnyText>(setting.accepted) ||
                         std::holds_alternative<Choice>(setting.accepted) ||
                         std::holds_alternative<Grammar>(setting.accepted);
    const std::string& text = override.value;
    const bool quoted = text.size() >= 2 && text.front() == text.back() &&
                        (text.front() == '"' || text.front() == '\'');
    if (textual || quoted) {
        try {
            // Bare text is quoted and read back, so that text which is not UTF-8 is found here too.
            return parse_toml_value(quoted ? text : toml_string(text));
        } catch (const ConfigurationError& error) {
            throw ConfigurationError{
                fmt::format("{}: {}: {}", override.origin, setting.key(), error.what())};
        }
    }
    try {
        return parse_toml_value(text);
    } catch (const ConfigurationError&) {
        return {text, "text"};
    }
}

void store(const SettingField& field, const CheckedValue& value) {
    std::visit(
        [](auto* target, const auto& found) {
            using Target = std::remove_pointer_t<decltype(target)>;
            using Found = std::remove_cvref_t<decltype(found)>;
            if constexpr (std::is_same_v<Target, Found>) {
                *target = found;
            } else if constexpr (std::is_integral_v<Target> && !std::is_same_v<Target, bool> &&
                                 std::is_same_v<Found, std::int64_t>) {
                *target = static_cast<Target>(found);  // the declared ranges fit their fields
            } else {
                throw std::logic_error{"a setting is declared with another type than its field"};
            }
        },
        field, value);
}

}  // namespace

GivenSettings::GivenSettings(std::filesystem::path file, const std::vector<TomlTable>& tables)
    : file_{std::move(file)} {
    for (const TomlTable& table : tables) take(table);
    if (stage_origins_.empty()) {
        throw ConfigurationError{
            fmt::format("{}: no [[stage]].\nA search has at least one, with name and "
                        "target_tokens.",
                        file_.string())};
    }
}

/// A table that is the value of one setting, such as stage.objective, as its text.
bool GivenSettings::take_as_value(const TomlTable& table) {
    const Setting* setting = find_setting(table.path);
    const auto* grammar = setting ? std::get_if<Grammar>(&setting->accepted) : nullptr;
    if (grammar == nullptr || !grammar->or_table || table.in_array) return false;
    std::string text;
    for (const TomlEntry& entry : table.entries) {
        const auto* whole = std::get_if<std::int64_t>(&entry.value.scalar);
        const auto* real = std::get_if<double>(&entry.value.scalar);
        if (!whole && !real) {
            throw ConfigurationError{fmt::format("{}: {}.{}: found {}, expected a number",
                                                 at_line(entry.line), table.path, entry.name,
                                                 entry.value.found())};
        }
        text += fmt::format("{}{} = {}", text.empty() ? "" : ", ", entry.name,
                            whole ? static_cast<double>(*whole) : *real);
    }
    values_[{table.path, setting->per_stage() ? table.element : 0}] = {{std::move(text), "text"},
                                                                       at_line(table.line)};
    return true;
}

void GivenSettings::take(const TomlTable& table) {
    if (take_as_value(table)) return;
    const bool is_stage = table.path == "stage";
    if (!table.path.empty()) {
        if (find_table(table.path) == nullptr) unknown_table(table, at_line(table.line));
        if (table.in_array != is_stage) {
            throw ConfigurationError{
                fmt::format("{}: found {}{}{}, expected {}", at_line(table.line),
                            is_stage ? "[" : "[[", table.path, is_stage ? "]" : "]]",
                            is_stage ? "[[stage]]: there may be several" : "[" + table.path + "]")};
        }
    }
    if (is_stage) stage_origins_.push_back(at_line(table.line));
    for (const TomlEntry& entry : table.entries) {
        const std::string key = table.path.empty() ? entry.name : table.path + "." + entry.name;
        if (find_setting(key) == nullptr) unknown_key(table.path, key, at_line(entry.line));
        values_[{key, is_stage ? table.element : 0}] = {entry.value, at_line(entry.line)};
    }
}

std::string GivenSettings::at_line(std::uint32_t line) const {
    return fmt::format("{}:{}", file_.string(), line);
}

void GivenSettings::apply(const Override& override) {
    const Setting* setting = find_setting(override.key);
    if (setting == nullptr) unknown_key("", override.key, override.origin);
    const std::size_t stage = setting->per_stage() ? stage_of(override) : 0;
    values_[{setting->key(), stage}] = {override_value(*setting, override), override.origin};
}

std::size_t GivenSettings::stage_of(const Override& override) const {
    std::vector<std::string> quoted;
    for (std::size_t stage = 0; stage < stage_origins_.size(); ++stage) {
        const auto found = values_.find(std::pair{std::string{"stage.name"}, stage});
        if (found == values_.end()) continue;
        const auto* name = std::get_if<std::string>(&found->second.value.scalar);
        if (name == nullptr) continue;
        if (!override.stage.empty() && *name == override.stage) return stage;
        quoted.push_back(toml_string(*name));
    }
    if (!override.stage.empty()) {
        throw ConfigurationError{fmt::format("{}: no stage is named {}.\nStages of {}: {}.",
                                             override.origin, toml_string(override.stage),
                                             file_.string(), fmt::join(quoted, ", "))};
    }
    if (stage_origins_.size() > 1) {
        throw ConfigurationError{
            fmt::format("{}: {} is for one stage, but {} has {}: {}.\n{}et the key in the file.",
                        override.origin, override.key, file_.string(), stage_origins_.size(),
                        fmt::join(quoted, ", "),
                        override.origin.starts_with("--") ? "Name one with --stage, or s" : "S")};
    }
    return 0;
}

Configuration GivenSettings::checked() const {
    Configuration configuration;
    configuration.stages.resize(stage_origins_.size());
    for (const auto& [place, given] : values_) {
        const Setting& setting = *find_setting(place.first);
        try {
            store(setting.field(configuration, place.second),
                  check_value(given.value, setting.accepted));
        } catch (const ConfigurationError& error) {
            throw ConfigurationError{fmt::format(
                "{}: {}: {}{}{}.\nMeaning: {}.", given.origin, setting.key(), error.what(),
                setting.unit.empty() ? "" : " ", setting.unit, setting.description)};
        }
    }
    check_needs(configuration);
    return configuration;
}

void GivenSettings::check_needs(const Configuration& configuration) const {
    const std::string& backend = configuration.evaluator.backend;
    for (const Setting& setting : settings()) {
        if (setting.need == Need::optional) continue;
        if (setting.need == Need::with_model && backend == "synthetic") continue;
        const std::size_t count = setting.per_stage() ? stage_origins_.size() : 1;
        for (std::size_t stage = 0; stage < count; ++stage) check_need(setting, stage, backend);
    }
}

void GivenSettings::check_need(const Setting& setting, std::size_t stage,
                               const std::string& backend) const {
    const auto found = values_.find(std::pair{setting.key(), stage});
    if (found == values_.end()) {
        const std::string why = setting.need == Need::with_model
                                    ? fmt::format(", but evaluator.backend = {} ({}) needs it",
                                                  toml_string(backend), origin("evaluator.backend"))
                                    : "";
        throw ConfigurationError{fmt::format(
            "{}: {} is not set{}.\nMeaning: {}. Set it in {}, or with {}.",
            setting.per_stage() ? stage_origins_.at(stage) : file_.string(), setting.key(), why,
            setting.description, setting.per_stage() ? "[[stage]]" : "[" + setting.table + "]",
            setting.environment_name())};
    }
    const auto* text = std::get_if<std::string>(&found->second.value.scalar);
    if (text != nullptr && text->empty()) {
        throw ConfigurationError{fmt::format("{}: {} is empty.\nMeaning: {}.", found->second.origin,
                                             setting.key(), setting.description)};
    }
}

bool GivenSettings::is_given(std::string_view key, std::size_t stage) const {
    return values_.contains(std::pair{std::string{key}, stage});
}

std::string GivenSettings::origin(std::string_view key, std::size_t stage) const {
    const auto found = values_.find(std::pair{std::string{key}, stage});
    return found == values_.end() ? "default" : found->second.origin;
}

}  // namespace longrope::coordinator
