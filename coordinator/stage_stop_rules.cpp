// SPDX-License-Identifier: Apache-2.0
// What ends the evolution of a stage before its iterations are done.
#include <algorithm>
#include <utility>

#include "coordinator/score_table.hpp"
#include "coordinator/stage_run.hpp"

namespace longrope::coordinator {

/// Rules are asked between two generations, and not where an earlier start went on and scored
/// something: the evolution of a history stays a prefix of what more permissive rules lead to.
void StageRun::apply_stop_rules() {
    const auto next_generation = static_cast<std::uint32_t>(history_.generations.size());
    const Schedule& schedule = search_.schedule();
    if (next_generation == 0 || next_generation > schedule.sizes().iterations ||
        search_.bred() != schedule.first_of(next_generation)) {
        return;
    }
    if (earlier_ && any_scored_from(earlier_->evaluations, search_.bred())) return;
    // Time is not replayed: where a budget ended it, that stands until the budget is raised.
    const double budget = plan_.settings.budget_gpu_hours;
    if (earlier_ && budget > 0.0 && budget <= earlier_->budget_gpu_hours) {
        end_evolution("budget_gpu_hours", next_generation - 1);
        history_.budget_gpu_hours = earlier_->budget_gpu_hours;  // perhaps larger than this one
        return;
    }
    if (std::string rule = due_stop_rule(next_generation); !rule.empty()) {
        end_evolution(std::move(rule), next_generation - 1);
    }
}

std::string StageRun::due_stop_rule(std::uint32_t next_generation) const {
    const StageSettings& rules = plan_.settings;
    const double children = rules.mutations + rules.crossovers;
    if (rules.max_evaluations > 0 && search_.bred() + children > rules.max_evaluations) {
        return "max_evaluations";
    }
    if (rules.stagnation > 0 && next_generation > rules.stagnation) {
        const auto& generations = history_.generations;
        const std::int32_t best = generations.back().best_individual;
        const std::size_t before = generations.size() - 1 - rules.stagnation;
        if (generations[before].best_individual == best) return "stagnation";
    }
    const double budget_seconds = rules.budget_gpu_hours * 3600.0;
    const double seconds_per_score =
        history_.task_seconds / static_cast<double>(std::max<std::uint64_t>(computed_, 1));
    const auto documents = static_cast<double>(columns(history_.evaluations));
    const double expected = history_.task_seconds + children * documents * seconds_per_score;
    if (budget_seconds > 0.0 && expected > budget_seconds) return "budget_gpu_hours";
    return "";
}

void StageRun::end_evolution(std::string ended_by, std::uint32_t iterations) {
    history_.ended_by = std::move(ended_by);
    history_.budget_gpu_hours =
        history_.ended_by == "budget_gpu_hours" ? plan_.settings.budget_gpu_hours : 0.0;
    search_.end_after(iterations);
    plan_.settings.iterations = iterations;
    plan_.search.iterations = iterations;
    history_.best.iterations = iterations;
    // What an earlier start scored after as many iterations is taken up again by the final phase.
    for (auto* table : {&history_.validation, &history_.start_token_sweep, &history_.heldout}) {
        ScoreTable<ScoreRow> others = first_rows(*table, 0);
        const std::uint64_t kept = take_rows(others, *table, [iterations](const ScoreRow& row) {
            return row.iterations != iterations;
        });
        scored_ -= scores_in(*table) - kept;
        *table = std::move(others);
    }
}

}  // namespace longrope::coordinator
