// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cli/evaluation_plan.hpp"
#include "coordinator/score_jobs.hpp"

namespace longrope::cli {

/// What one method has at one length, on the documents of the plan.
struct CellScores {
    std::vector<double> sum_nll;                ///< nats, shape [documents]; NaN: not scored
    std::vector<std::uint64_t> scored_tokens;   ///< shape [documents]; 0: not scored
    std::vector<std::vector<float>> token_nll;  ///< shape [documents][scored tokens] or empty
    double window_means = 0.0;  ///< sum over all windows of their mean NLL, in nats per token
    std::uint64_t windows = 0;  ///< of all documents scored; a document read whole is one
    std::optional<coordinator::JobFailure> failure{};  ///< the first of its jobs', if there is one
};

/// The work of a plan: a job for each method, length and place that a window stands at, and which
/// cell of the table it belongs to.
struct EvaluationJobs {
    std::vector<coordinator::Job> jobs;
    std::vector<std::size_t> cells;  ///< shape [jobs]: method * lengths + length
};
[[nodiscard]] EvaluationJobs jobs_of(const EvaluationPlan& plan);

/// Adds up what came of the jobs, in their order, so that no sum depends on who computed what.
/// @returns  shape [methods * lengths]
[[nodiscard]] std::vector<CellScores> cells_of(const EvaluationPlan& plan,
                                               const EvaluationJobs& work,
                                               std::vector<coordinator::JobScores> scores);

}  // namespace longrope::cli
