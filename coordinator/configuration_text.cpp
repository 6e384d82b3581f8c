// SPDX-License-Identifier: Apache-2.0
// A configuration as TOML, and its identity settings as text.
#include <fmt/core.h>
#include <fmt/ranges.h>

#include <cstddef>

#include "coordinator/configuration.hpp"
#include "coordinator/setting_declarations.hpp"
#include "coordinator/toml_document.hpp"

namespace longrope::coordinator {
namespace {

bool applies(const Setting& setting, const Configuration& configuration) {
    return !setting.synthetic() || configuration.evaluator.backend == "synthetic";
}

}  // namespace

std::string to_toml(const Configuration& configuration) {
    Configuration copy = configuration;  // fields are reached through pointers to mutable values
    std::string text;
    const auto write_table = [&](const SettingTable& table, const std::string& header,
                                 std::size_t stage) {
        text += fmt::format("{}{}\n", text.empty() ? "" : "\n", header);
        for (const Setting& setting : settings()) {
            if (setting.table != table.name) continue;
            text += fmt::format("{} = {}\n", setting.name, field_toml(setting.field(copy, stage)));
        }
    };
    for (const SettingTable& table : setting_tables()) {
        if (table.name == "stage") {
            for (std::size_t stage = 0; stage < copy.stages.size(); ++stage) {
                write_table(table, "[[stage]]", stage);
            }
        } else if (table.name != "evaluator.synthetic" || copy.evaluator.backend == "synthetic") {
            write_table(table, "[" + table.name + "]", 0);
        }
    }
    return text;
}

std::map<std::string, std::string> identity_settings(const Configuration& configuration) {
    Configuration copy = configuration;
    std::map<std::string, std::string> identity;
    std::vector<std::string> names;
    for (const StageSettings& stage : copy.stages) names.push_back(toml_string(stage.name));
    identity["stage.names"] = fmt::format("[{}]", fmt::join(names, ", "));
    for (const Setting& setting : settings()) {
        if (setting.effect != Effect::identity || !applies(setting, copy)) continue;
        if (!setting.per_stage()) {
            identity[setting.key()] = field_toml(setting.field(copy, 0));
        } else if (setting.name != "name") {  // in stage.names
            for (std::size_t stage = 0; stage < copy.stages.size(); ++stage) {
                const std::string value = field_toml(setting.field(copy, stage));
                if (value == setting.neutral) continue;
                identity[fmt::format("stage.{}.{}", copy.stages[stage].name, setting.name)] = value;
            }
        }
    }
    return identity;
}

}  // namespace longrope::coordinator
