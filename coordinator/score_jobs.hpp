// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/admission.hpp"
#include "coordinator/dispatcher.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::coordinator {

/// Why a job has no score of one of its documents, whatever became of the others.
struct JobFailure {
    std::uint32_t column = 0;  ///< in the job's documents
    std::string reason;
};

/// What came of a job: per column the sum of negative log-likelihoods, per token if asked for.
struct JobScores {
    std::vector<double> sum_nll;                ///< nats, shape [documents]; NaN: not scored
    std::vector<std::uint64_t> scored_tokens;   ///< shape [documents]; 0: not scored
    std::vector<std::vector<float>> token_nll;  ///< shape [documents][scored tokens] or empty
    /// What ended the job, if anything did; documents not scored by then have no score either.
    std::optional<JobFailure> failure;
};

/// Called when an evaluator is ready, with why its worker may not compute, if so.
using OnHello = std::function<void(const protocol::Hello&, const std::optional<Refusal>&)>;

/// Scores a fixed list of jobs, without search or history, on all workers of a transport that have
/// what is required.
/// @param on_score     called after each document with (scores so far, scores in all)
/// @param stop_reason  why to stop early, or nothing
/// @returns in the order of the jobs; nothing if it was stopped early. If the last worker is lost
///          midway, what is not scored has failed
/// @throws NoWorkers if nothing was scored before the last worker was lost
[[nodiscard]] std::optional<std::vector<JobScores>> score_jobs(
    const std::vector<Job>& jobs, protocol::Transport& transport, Dispatcher::Settings settings,
    const Requirements& required, const std::function<void(std::uint64_t, std::uint64_t)>& on_score,
    const std::function<std::optional<std::string>()>& stop_reason, const OnHello& on_hello = {});

}  // namespace longrope::coordinator
