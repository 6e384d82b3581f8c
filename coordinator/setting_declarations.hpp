// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "coordinator/accepted_values.hpp"
#include "coordinator/configuration.hpp"

namespace longrope::coordinator {

/// Where a setting lives in a Configuration.
using SettingField = std::variant<std::string*, bool*, std::uint32_t*, std::uint64_t*, double*>;

/// What a change between two starts of a run means.
enum class Effect {
    identity,    ///< another trajectory: refused
    operational  ///< the same trajectory: free to change
};

enum class Need {
    optional,    ///< has a default
    with_model,  ///< must be given unless the backend is synthetic
    always       ///< must be given
};

/// One table of the configuration.
struct SettingTable {
    std::string name;  ///< dotted: "evaluator.synthetic"
    std::string description;
};

/// One setting. Reading, checking, writing, environment names and the reference page all follow
/// these declarations; the default is the value of a fresh Configuration.
struct Setting {
    std::string table;
    std::string name;
    std::string unit;
    AcceptedValues accepted;
    Effect effect = Effect::operational;
    Need need = Need::optional;
    std::string description;  ///< begins in lower case, without full stop
    /// Its place; `stage` is an index of `stages`, and counts for the table "stage" only.
    SettingField (*field)(Configuration& configuration, std::size_t stage) = nullptr;

    /// An identity setting that came after the first histories: at this value, as TOML, it is no
    /// part of their identity, nor of that of new ones.
    std::string neutral{};

    [[nodiscard]] std::string key() const { return table + "." + name; }
    [[nodiscard]] bool per_stage() const { return table == "stage"; }
    [[nodiscard]] bool synthetic() const { return table == "evaluator.synthetic"; }
    /// LONGROPE_RUN_DIRECTORY for run.directory.
    [[nodiscard]] std::string environment_name() const;
};

/// The tables in the order of the reference page.
[[nodiscard]] const std::vector<SettingTable>& setting_tables();

/// Every setting, table by table.
[[nodiscard]] const std::vector<Setting>& settings();

/// The setting of a dotted key; nullptr if there is none.
[[nodiscard]] const Setting* find_setting(std::string_view key);

/// The value in `field` as TOML: quoted text, or a bare number or truth value.
[[nodiscard]] std::string field_toml(const SettingField& field);

/// " (did you mean stage.population?)" or nothing: the nearest declared key, or the same name in
/// another table.
[[nodiscard]] std::string suggest_key(std::string_view unknown_key);

}  // namespace longrope::coordinator
