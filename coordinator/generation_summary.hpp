// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// A generation as the history tells of it, once all its individuals have a status; nothing before.
/// Its best is that of all generations up to it, whatever else has been scored since.
/// @param rows        all individuals so far, the first at index 0
/// @param first, last of the generation
[[nodiscard]] std::optional<GenerationRow> generation_summary(std::span<const EvaluationRow> rows,
                                                              std::uint32_t generation,
                                                              std::uint32_t first,
                                                              std::uint32_t last);

}  // namespace longrope::coordinator
