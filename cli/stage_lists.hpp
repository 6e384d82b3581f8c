// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/rope_export.hpp"
#include "coordinator/history.hpp"

namespace longrope::cli {

/// The stage that is named, or with an empty name the only one whose list is for long texts.
/// @throws UsageError if there is no such stage, or the name is missing and there are several
[[nodiscard]] const coordinator::StageHistory& long_stage(const coordinator::RunHistory& history,
                                                          const std::string& name);

/// The stage's choice as a list, or another individual with the start tokens it was chosen or bred
/// with; with its scores on documents that are furthest from the search: held-out, else validation,
/// else those of the search.
/// @throws UsageError if the stage has chosen nothing yet, or the individual has no score
[[nodiscard]] FactorList stage_list(const coordinator::StageHistory& stage,
                                    std::optional<std::uint32_t> individual = std::nullopt);

/// The list of the stage that --short-stage names, for texts within the original window.
/// @param from  the stage whose list goes with it
/// @throws UsageError unless both have the same window, weights and attention scale
[[nodiscard]] FactorList short_list(const coordinator::RunHistory& history,
                                    const coordinator::StageHistory& from, const std::string& name);

/// The stages that `short_list` accepts beside another.
[[nodiscard]] std::vector<std::string> short_stages(const coordinator::RunHistory& history,
                                                    const coordinator::StageHistory& from);

/// Of the weights that a stage was scored with; histories before format version 3 have one for all.
[[nodiscard]] const std::string& digest_of_weights(const coordinator::RunHistory& history,
                                                   const coordinator::StageHistory& stage);

}  // namespace longrope::cli
