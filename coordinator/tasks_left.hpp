// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "coordinator/history.hpp"
#include "coordinator/stage_plan.hpp"

namespace longrope::coordinator {

/// (factor vector, document) pairs that a stage has still to score. Exact for rows that are there,
/// where rows of one function count once; an upper bound for those to come, which may turn out to
/// be skipped or to share the scores of others. 0 exactly if nothing is left to compute.
/// @param history  of the same stage as `plan`, bred as far as its scores allow
[[nodiscard]] std::uint64_t tasks_left(const StagePlan& plan, const StageHistory& history);

}  // namespace longrope::coordinator
