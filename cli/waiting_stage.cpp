// SPDX-License-Identifier: Apache-2.0
#include "cli/waiting_stage.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/run_inputs.hpp"
#include "cli/shell_word.hpp"
#include "coordinator/trainings.hpp"

namespace longrope::cli {
namespace {

bool is_to_be_made(const TrainingStep& step) {
    return !is_model_there(step.output);
}

}  // namespace

std::vector<TrainingStep> training_steps(const coordinator::Configuration& configuration,
                                         std::size_t stage) {
    const coordinator::StageSettings& settings = configuration.stages.at(stage);
    if (stage == 0) return {};
    auto trainings = coordinator::parse_trainings(settings.finetune).value();
    if (trainings.empty()) trainings.push_back({});
    std::vector<TrainingStep> steps;
    for (std::size_t i = 0; i < trainings.size(); ++i) {
        const std::string& wanted = trainings[i].stage.empty() ? settings.base : trainings[i].stage;
        const auto named =
            std::ranges::find(configuration.stages, wanted, &coordinator::StageSettings::name);
        const coordinator::StageSettings& factors_of =
            named == configuration.stages.end() ? configuration.stages[stage - 1] : *named;
        const bool chained = !factors_of.model.empty() && factors_of.model != settings.model;
        TrainingStep step;
        step.model = i > 0     ? steps.back().output
                     : chained ? factors_of.model
                               : configuration.model.path;
        step.stage = factors_of.name;
        step.output =
            i + 1 == trainings.size() ? settings.model : settings.model + "-" + factors_of.name;
        step.settings = trainings[i].settings;
        steps.push_back(std::move(step));
    }
    return steps;
}

std::string finetune_command(const coordinator::Configuration& configuration, std::size_t stage,
                             const std::filesystem::path& history) {
    const std::vector<TrainingStep> steps = training_steps(configuration, stage);
    if (steps.empty()) return "";
    const auto next = std::find_if(steps.begin(), steps.end() - 1, is_to_be_made);
    std::string command = fmt::format(
        ".venv/bin/python scripts/finetune.py --model {} --history {} --stage {} --output {}",
        shell_word(next->model), shell_word(history.string()), shell_word(next->stage),
        shell_word(next->output));
    if (!next->settings.empty()) command += " --config " + shell_word(next->settings);
    return command;
}

std::string arrived_text(const coordinator::StageSettings& stage) {
    return fmt::format(
        "stage \"{}\" waited for its model {}, which is there now: start the same "
        "command again",
        stage.name, stage.model);
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
    text += "then run the same command again";
    const std::vector<TrainingStep> steps = training_steps(configuration, stage);
    const auto left = std::ranges::count_if(steps, is_to_be_made);
    if (left > 1) text += fmt::format("; it names the next of {} trainings that are left", left);
    return text + ".\n";
}

}  // namespace longrope::cli
