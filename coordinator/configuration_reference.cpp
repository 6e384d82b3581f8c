// SPDX-License-Identifier: Apache-2.0
// What the declarations say to a reader: the list for --help, and the reference page.
#include <fmt/core.h>

#include <algorithm>

#include "coordinator/configuration.hpp"
#include "coordinator/setting_declarations.hpp"

namespace longrope::coordinator {
namespace {

std::string default_text(const Setting& setting) {
    if (setting.need != Need::optional) return "";
    Configuration fresh;
    fresh.stages.resize(1);
    return field_toml(setting.field(fresh, 0));
}

std::string capitalised(std::string text) {
    if (!text.empty() && text.front() >= 'a' && text.front() <= 'z') {
        text.front() = static_cast<char>(text.front() - 'a' + 'A');
    }
    return text;
}

std::string accepted_cell(const Setting& setting) {
    const std::string range = range_text(setting.accepted);
    std::string cell = type_name(setting.accepted);
    if (!range.empty()) cell += ": " + range;
    return setting.unit.empty() ? cell : cell + " " + setting.unit;
}

std::string default_cell(const Setting& setting) {
    if (setting.need == Need::always) return "required";
    if (setting.need == Need::with_model) return "required, unless the backend is synthetic";
    return fmt::format("`{}`", default_text(setting));
}

constexpr const char* introduction = R"(# Configuration

<!-- Made from the declarations in coordinator/setting_declarations.cpp; change them, then
     build the target configuration_reference and run it: configuration_reference > docs/configuration.md -->

`longrope search FILE` reads a [TOML](https://toml.io) file. A setting is, in rising priority, its default, its value in
the file, an environment variable, a flag. Unknown keys are errors. Paths are relative to the working directory.

- **Environment**: `LONGROPE_<TABLE>_<KEY>`, in capitals: `LONGROPE_RUN_DIRECTORY` is `run.directory`, and
  `LONGROPE_EVALUATOR_SYNTHETIC_FAULT` is `evaluator.synthetic.fault`. Any other variable that begins with `LONGROPE_` is
  an error. A stage key (`LONGROPE_STAGE_ITERATIONS`) is for a file with a single stage.
- **Flags**: see `longrope search --help`. `--iterations` is for the only stage; with several, `--stage NAME` goes with it.
- **Identity**: settings marked ● define the search. A run cannot be continued under another value of theirs; all others
  may change between two starts. Raising `stage.iterations` continues a search.
- `s` is the extension ratio: `stage.target_tokens` over the original context window.
)";

}  // namespace

std::vector<SettingDeclaration> declared_settings() {
    std::vector<SettingDeclaration> declarations;
    for (const Setting& setting : settings()) {
        declarations.push_back({.key = setting.key(),
                                .type = type_name(setting.accepted),
                                .default_value = default_text(setting),
                                .range = range_text(setting.accepted),
                                .unit = setting.unit,
                                .description = setting.description,
                                .identity = setting.effect == Effect::identity});
    }
    return declarations;
}

std::string configuration_reference_markdown() {
    std::string page = introduction;
    for (const SettingTable& table : setting_tables()) {
        page += fmt::format("\n## {}\n{}\n\n",
                            table.name == "stage" ? "[[stage]]" : "[" + table.name + "]",
                            table.description);
        page += "| key | accepted | default | identity | meaning |\n|---|---|---|---|---|\n";
        for (const Setting& setting : settings()) {
            if (setting.table != table.name) continue;
            page +=
                fmt::format("| `{}` | {} | {} | {} | {}. |\n", setting.name, accepted_cell(setting),
                            default_cell(setting), setting.effect == Effect::identity ? "●" : "",
                            capitalised(setting.description));
        }
    }
    return page;
}

}  // namespace longrope::coordinator
