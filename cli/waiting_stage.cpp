// SPDX-License-Identifier: Apache-2.0
#include "cli/waiting_stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace longrope::cli {
namespace {

/// `text` as one word of a shell's command line.
std::string shell_word(const std::string& text) {
    constexpr std::string_view plain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./=+:,@%";
    if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
    std::string quoted = "'";
    for (const char character : text) {
        if (character == '\'') {
            quoted += "'\\''";
        } else {
            quoted += character;
        }
    }
    return quoted + "'";
}

}  // namespace

std::string finetune_command(const coordinator::Configuration& configuration, std::size_t stage,
                             const std::filesystem::path& history) {
    const coordinator::StageSettings& settings = configuration.stages.at(stage);
    if (stage == 0) return "";
    const auto named =
        std::ranges::find(configuration.stages, settings.base, &coordinator::StageSettings::name);
    const coordinator::StageSettings& trained_for =
        named == configuration.stages.end() ? configuration.stages[stage - 1] : *named;
    const bool chained = !trained_for.model.empty() && trained_for.model != settings.model;
    std::string command = fmt::format(
        ".venv/bin/python scripts/finetune.py --model {} --history {} --stage {} --output {}",
        shell_word(chained ? trained_for.model : configuration.model.path),
        shell_word(history.string()), shell_word(trained_for.name), shell_word(settings.model));
    if (!settings.finetune.empty()) command += " --config " + shell_word(settings.finetune);
    return command;
}

std::string waiting_text(const coordinator::Configuration& configuration, std::size_t stage,
                         const std::filesystem::path& history) {
    const coordinator::StageSettings& settings = configuration.stages.at(stage);
    const std::string command = finetune_command(configuration, stage, history);
    std::string text =
        fmt::format("\nStage \"{}\" waits for its model: {} has no config.json yet.\n",
                    settings.name, settings.model);
    if (command.empty()) {
        return text +
               "No stage before it leads to this model: make it, then run the same command "
               "again.\n";
    }
    text += fmt::format("Make it with\n  {}\n", command);
    if (settings.finetune.empty()) {
        text +=
            "and --config FILE, the settings of the training (stage.finetune names them here),\n";
    }
    return text + "then run the same command again.\n";
}

}  // namespace longrope::cli
