// SPDX-License-Identifier: Apache-2.0
// What a stage does after its last generation: the best individuals and the baselines are scored on
// the validation documents, the best of them there with other start tokens if these are swept, and
// the result on the held-out documents.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "coordinator/final_choice.hpp"
#include "coordinator/stage_run.hpp"

namespace longrope::coordinator {

bool StageRun::settled(Phase phase) const {
    return std::ranges::all_of(table(phase).rows, [this, phase](const ScoreRow& row) {
        return row.status != Status::pending ||
               (phase != Phase::baselines && row.iterations != plan_.settings.iterations);
    });
}

void StageRun::advance(std::vector<NumberedJob>& jobs) {
    if (!search_.finished() || !settled(Phase::baselines) || history_.complete) return;
    if (search_.best(1).empty()) throw NoParents{"no individual has a finite score"};
    if (!final_phase_) start_validation(jobs);
    if (final_phase_ == Phase::validation && settled(Phase::validation)) start_sweep(jobs);
    if (final_phase_ == Phase::sweep && settled(Phase::sweep)) start_heldout(jobs);
    if (final_phase_ == Phase::heldout && settled(Phase::heldout)) history_.complete = true;
}

ScoreRow StageRun::row_of_baseline(const NamedVector& baseline) {
    ScoreRow row;
    row.name = baseline.name;
    row.start_tokens = baseline.start_tokens;
    return row;
}

ScoreRow StageRun::row_of_individual(std::uint32_t number) const {
    ScoreRow row;
    row.name = fmt::format("individual {}", number);
    row.individual = static_cast<std::int32_t>(number);
    row.start_tokens = search_.individual(number).candidate.value().start_tokens;
    return row;
}

void StageRun::start_validation(std::vector<NumberedJob>& jobs) {
    final_phase_ = Phase::validation;
    if (plan_.validation_documents.documents.empty()) return;
    for (const NamedVector& baseline : plan_.baselines) {
        add_score_row(Phase::validation, row_of_baseline(baseline), baseline.factors, jobs);
    }
    for (const std::uint32_t number : search_.best(finalists)) {
        add_score_row(Phase::validation, row_of_individual(number), search_.factors(number), jobs);
    }
}

void StageRun::start_sweep(std::vector<NumberedJob>& jobs) {
    if (const auto choice = final_choice(history_, plan_.settings.iterations)) {
        choose_best("validation", choice->individual);
    }
    final_phase_ = Phase::sweep;
    if (plan_.validation_documents.documents.empty()) return;
    for (const std::uint32_t start_tokens : plan_.swept_start_tokens) {
        ScoreRow row = row_of_individual(static_cast<std::uint32_t>(history_.best.individual));
        row.name += fmt::format(", {} start tokens", start_tokens);
        row.start_tokens = start_tokens;
        add_score_row(Phase::sweep, row, history_.best.factors, jobs);
    }
}

void StageRun::start_heldout(std::vector<NumberedJob>& jobs) {
    if (const auto choice = final_choice(history_, plan_.settings.iterations)) {
        history_.best.start_tokens = choice->start_tokens;
    }
    final_phase_ = Phase::heldout;
    if (plan_.heldout_documents.documents.empty()) return;
    for (const NamedVector& baseline : plan_.baselines) {
        if (!baseline.heldout) continue;
        add_score_row(Phase::heldout, row_of_baseline(baseline), baseline.factors, jobs);
    }
    ScoreRow row = row_of_individual(static_cast<std::uint32_t>(history_.best.individual));
    row.name = "searched";
    row.start_tokens = history_.best.start_tokens;
    add_score_row(Phase::heldout, row, history_.best.factors, jobs);
}

}  // namespace longrope::coordinator
