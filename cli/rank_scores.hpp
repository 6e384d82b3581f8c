// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/job.hpp"
#include "coordinator/configuration.hpp"
#include "coordinator/score_jobs.hpp"

namespace longrope::cli {

/// Scores a list of jobs on all ranks but those that a search would refuse, which are named on
/// stderr, with a count on a terminal.
/// @param stage_model  as in setup_of
/// @returns in the order of the jobs, those that failed for good among them; nothing if a signal
///          stopped it, which is said on stderr
/// @throws coordinator::NoWorkers, EvaluatorError
[[nodiscard]] std::optional<std::vector<coordinator::JobScores>> score_on_ranks(
    Job& job, const coordinator::Configuration& configuration, const std::string& stage_model,
    const std::vector<coordinator::Job>& jobs);

}  // namespace longrope::cli
