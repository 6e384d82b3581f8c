// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cli/export_formats.hpp"
#include "cli/export_plan.hpp"
#include "coordinator/dispatcher.hpp"
#include "coordinator/score_jobs.hpp"

namespace longrope::cli {

/// One list at one length: what is scored, and what the history says.
struct ExportedRow {
    std::string list;  ///< "long list", ...
    std::uint64_t tokens = 0;
    coordinator::Job job;
    std::optional<double> stored;        ///< perplexity on the same documents
    std::string stored_on;               ///< which documents these are
    double perplexity = 0.0;             ///< after `enter_scores`
    [[nodiscard]] bool differs() const;  ///< from what is stored, by more than 1e-6
};

/// Largest relative difference between a list's perplexity as stored and as reloaded.
inline constexpr double largest_difference = 1e-6;

/// Refuses lists that do not read back as they were written, to the last digits.
/// @throws std::runtime_error naming the list, the index and both values
void require_same_lists(const ExportPlan& plan, const ReloadedRope& reloaded);

/// What is to be scored: the reloaded long list at L' and at the short list's length, the reloaded
/// short list at its own, and each list as it was searched where start tokens were dropped; a list
/// by itself at its own length alone. Empty where there is nothing to score on.
[[nodiscard]] std::vector<ExportedRow> rows_of(const ExportPlan& plan,
                                               const ReloadedRope& reloaded);

/// @param scores  of the rows' jobs, in their order
/// @throws coordinator::NoWorkers naming the first list that could not be scored
void enter_scores(std::vector<ExportedRow>& rows,
                  const std::vector<coordinator::JobScores>& scores);

}  // namespace longrope::cli
