// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "coordinator/configuration.hpp"
#include "tests/fuzz/fuzz_targets.hpp"
#include "tests/fuzz/memory_file.hpp"

namespace longrope::fuzz {
namespace {

using coordinator::Configuration;

Configuration read_text(const std::uint8_t* text, std::size_t size,
                        const std::vector<coordinator::Override>& overrides) {
    const MemoryFile file;
    file.write(text, size);
    return coordinator::read_configuration(file.path(), overrides);
}

Configuration read_text(const std::string& text,
                        const std::vector<coordinator::Override>& overrides) {
    return read_text(reinterpret_cast<const std::uint8_t*>(text.data()), text.size(), overrides);
}

/// The history keeps the effective configuration as text, and a search goes on from it.
void check_accepted(const Configuration& configuration) {
    const std::string text = to_toml(configuration);
    require(coordinator::parse_configuration(text, "to_toml") == configuration,
            "to_toml gives what read_configuration accepts");
    require(!identity_settings(configuration).empty(), "a configuration has identity settings");
    for (const coordinator::StageSettings& stage : configuration.stages) {
        require(coordinator::max_factor(stage.bound, 4.0) > 0.0, "a bound bounds");
    }
}

/// The smallest file that is accepted, whatever flag is given besides.
const std::string smallest =
    "[run]\ndirectory = \"runs/fuzz\"\n"
    "[evaluator]\nbackend = \"synthetic\"\n"
    "[[stage]]\nname = \"long\"\ntarget_tokens = 2048\n";

}  // namespace

int fuzz_configuration(const std::uint8_t* data, std::size_t size) {
    try {
        check_accepted(read_text(data, size, {}));
    } catch (const coordinator::ConfigurationError&) {
        return 0;
    }
    return 0;
}

int fuzz_setting(const std::uint8_t* data, std::size_t size) {
    static const std::vector<coordinator::SettingDeclaration> declared =
        coordinator::declared_settings();
    if (size == 0) return 0;
    const std::string value{reinterpret_cast<const char*>(data) + 1, size - 1};
    const std::string& key = declared[data[0] % declared.size()].key;
    try {
        check_accepted(read_text(smallest, {{key, value, "--flag", ""}}));
    } catch (const coordinator::ConfigurationError&) {
        return 0;
    }
    return 0;
}

}  // namespace longrope::fuzz
