// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/setting_declarations.hpp"
#include "coordinator/toml_document.hpp"

namespace longrope::coordinator {

/// The values that a file and its overrides give, not yet checked, each with the place it comes
/// from.
class GivenSettings {
public:
    /// @throws ConfigurationError for unknown tables and keys, and where there is no [[stage]]
    GivenSettings(std::filesystem::path file, const std::vector<TomlTable>& tables);

    /// Replaces what was given before.
    /// @throws ConfigurationError for an unknown key, and for a stage that is unknown or not clear
    void apply(const Override& override);

    /// Every setting: what was given, or its default.
    /// @throws ConfigurationError for a value of wrong type or out of range, and for a missing one
    [[nodiscard]] Configuration checked() const;

    [[nodiscard]] std::string file() const { return file_.string(); }
    [[nodiscard]] bool is_given(std::string_view key, std::size_t stage = 0) const;
    /// "c.toml:14", "LONGROPE_RUN_SEED", "--seed" or "default".
    [[nodiscard]] std::string origin(std::string_view key, std::size_t stage = 0) const;

private:
    struct GivenValue {
        TomlValue value;
        std::string origin;
    };

    void take(const TomlTable& table);
    [[nodiscard]] bool take_as_value(const TomlTable& table);
    [[nodiscard]] std::string at_line(std::uint32_t line) const;
    [[nodiscard]] std::size_t stage_of(const Override& override) const;
    void check_needs(const Configuration& configuration) const;
    void check_need(const Setting& setting, std::size_t stage, const std::string& backend) const;

    std::filesystem::path file_;
    std::vector<std::string> stage_origins_;
    std::map<std::pair<std::string, std::size_t>, GivenValue, std::less<>> values_;
};

}  // namespace longrope::coordinator
