// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// A stage cannot be evaluated before its model is made; the message is `waiting_text`.
class StageWaits : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A fine-tuning on the way to a stage's model.
struct TrainingStep {
    std::string model;     ///< folder it starts from
    std::string stage;     ///< whose factors it trains with
    std::string output;    ///< folder it makes
    std::string settings;  ///< file; empty: none is named
};

/// The trainings that make the model of a stage, one after the other, those that are done among
/// them: as stage.finetune says, else one with the factors of the stage it builds on, or of the one
/// before it. All but the last make folders named after that model and their stage.
/// @param stage  index of a stage that has stage.model
/// @returns nothing for the first stage, whose model no earlier stage leads to
[[nodiscard]] std::vector<TrainingStep> training_steps(
    const coordinator::Configuration& configuration, std::size_t stage);

/// The command of the first of those trainings whose folder has no config.json.
/// @returns a line for a shell; empty for the first stage
[[nodiscard]] std::string finetune_command(const coordinator::Configuration& configuration,
                                           std::size_t stage, const std::filesystem::path& history);

/// What to do about a stage whose model has come since the search waits for it, in a sentence.
[[nodiscard]] std::string arrived_text(const coordinator::StageSettings& stage);

/// What to do about a stage whose model does not exist yet.
[[nodiscard]] std::string waiting_text(const coordinator::Configuration& configuration,
                                       std::size_t stage, const std::filesystem::path& history);

}  // namespace longrope::cli
