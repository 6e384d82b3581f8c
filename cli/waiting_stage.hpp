// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "coordinator/configuration.hpp"

namespace longrope::cli {

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
