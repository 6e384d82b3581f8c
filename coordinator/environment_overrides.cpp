// SPDX-License-Identifier: Apache-2.0
#include <fmt/core.h>

#include <algorithm>
#include <string_view>

#include "coordinator/configuration.hpp"
#include "coordinator/nearest_name.hpp"
#include "coordinator/setting_declarations.hpp"

namespace longrope::coordinator {

std::vector<Override> environment_overrides(const char* const* environment) {
    std::vector<Override> overrides;
    for (; *environment != nullptr; ++environment) {
        const std::string_view variable{*environment};
        if (!variable.starts_with("LONGROPE_")) continue;
        const std::size_t equals = variable.find('=');
        if (equals == std::string_view::npos) continue;  // no shell sets such a variable
        const std::string name{variable.substr(0, equals)};
        const auto setting = std::ranges::find(settings(), name, &Setting::environment_name);
        if (setting == settings().end()) {
            std::vector<std::string> names;
            for (const Setting& known : settings()) names.push_back(known.environment_name());
            const auto nearest = nearest_name(name, names);
            throw ConfigurationError{fmt::format(
                "environment: unknown variable {}{}.\nVariables that begin with LONGROPE_ are "
                "settings, LONGROPE_<TABLE>_<KEY>: unset it, or correct its name.",
                name, nearest ? fmt::format(" (did you mean {}?)", *nearest) : "")};
        }
        overrides.push_back(
            {setting->key(), std::string{variable.substr(equals + 1)}, name, /*stage=*/""});
    }
    return overrides;
}

}  // namespace longrope::coordinator
