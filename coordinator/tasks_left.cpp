// SPDX-License-Identifier: Apache-2.0
#include "coordinator/tasks_left.hpp"

#include <algorithm>
#include <cstddef>

#include "coordinator/score_table.hpp"

namespace longrope::coordinator {
namespace {

/// Whether a row before this one stands for the same function, whose scores it waits for.
bool is_twin(const ScoreTable<ScoreRow>& table, std::size_t row) {
    const ScoreRow& own = table.rows[row];
    for (std::size_t other = 0; other < row; ++other) {
        if (table.rows[other].iterations == own.iterations &&
            is_function(table, other, factors_of(table, row), own.start_tokens)) {
            return true;
        }
    }
    return false;
}

/// What the rows of these iterations lack; `expected` of them if none is there yet.
std::uint64_t left_of(const ScoreTable<ScoreRow>& table, std::uint32_t iterations,
                      std::uint64_t expected) {
    std::uint64_t left = 0;
    bool begun = false;
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        if (table.rows[row].iterations != iterations) continue;
        begun = true;
        if (table.rows[row].status == Status::pending && !is_twin(table, row)) {
            left += missing_columns(table, row).size();
        }
    }
    return begun ? left : expected * columns(table);
}

}  // namespace

std::uint64_t tasks_left(const StagePlan& plan, const StageHistory& history) {
    if (history.complete) return 0;
    const ScoreTable<EvaluationRow>& evaluations = history.evaluations;
    // An earlier start may have gone beyond the evaluations that are now the most.
    const std::uint64_t bred = evaluations.rows.size();
    std::uint64_t left = (std::max(plan.individuals(), bred) - bred) * columns(evaluations);
    for (std::size_t row = 0; row < evaluations.rows.size(); ++row) {
        if (evaluations.rows[row].status == Status::pending) {
            left += missing_columns(evaluations, row).size();
        }
    }
    const std::uint32_t iterations = plan.settings.iterations;
    left += left_of(history.baselines, 0, plan.baselines.size());
    left += left_of(history.validation, iterations, finalists + plan.baselines.size());
    left += left_of(history.start_token_sweep, iterations, plan.swept_start_tokens.size());
    left += left_of(history.heldout, iterations, plan.heldout_rows());
    return left;
}

}  // namespace longrope::coordinator
