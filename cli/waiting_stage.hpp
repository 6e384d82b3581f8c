// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <stdexcept>
#include <string>

#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// A stage cannot be evaluated before its model is made; the message is `waiting_text`.
class StageWaits : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The command that makes the model of a stage: fine-tuning with the factors of the stage it builds
/// on, or else of the one before it.
/// @param stage  index of a stage that has stage.model
/// @returns a line for a shell; empty for the first stage, whose model no earlier stage leads to
[[nodiscard]] std::string finetune_command(const coordinator::Configuration& configuration,
                                           std::size_t stage, const std::filesystem::path& history);

/// What to do about a stage whose model does not exist yet.
[[nodiscard]] std::string waiting_text(const coordinator::Configuration& configuration,
                                       std::size_t stage, const std::filesystem::path& history);

}  // namespace longrope::cli
