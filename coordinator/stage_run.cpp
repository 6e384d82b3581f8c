// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_run.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <utility>

#include "coordinator/generation_summary.hpp"
#include "coordinator/score_table.hpp"

namespace longrope::coordinator {
namespace {

constexpr unsigned phase_shift = 32;

template <typename Row>
ScoreTable<Row> empty_table(const DocumentSet& set, const StagePlan& plan) {
    ScoreTable<Row> table;
    const auto add = [](auto& to, const auto& from) {
        to.insert(to.end(), from.begin(), from.end());
    };
    for (const ScoredLength& length : plan.lengths) {
        add(table.documents, set.documents);
        add(table.document_titles, set.titles);
        const std::size_t columns = table.documents.size();
        table.document_tokens.resize(columns, length.tokens - 1);
        table.document_weights.resize(columns, length.weight);
    }
    table.dimensions = static_cast<std::uint32_t>(plan.search.space.dimensions());
    return table;
}

void require(bool fits, const std::string& stage, const std::string& what) {
    if (!fits) throw ReplayMismatch{fmt::format("stage \"{}\" of the history: {}", stage, what)};
}

/// The row that an earlier start stored under this name.
std::optional<std::size_t> find_stored(const ScoreTable<ScoreRow>& from, const ScoreRow& row) {
    for (std::size_t at = 0; at < from.rows.size(); ++at) {
        if (from.rows[at].name == row.name && from.rows[at].iterations == row.iterations) return at;
    }
    return std::nullopt;
}

/// Drops the rows beyond `total` if none of them holds a score: a start with more iterations had
/// bred them and came to nothing.
void drop_unscored_end(ScoreTable<EvaluationRow>& table, std::size_t total) {
    if (table.rows.size() <= total || any_scored_from(table, total)) return;
    table = first_rows(std::move(table), total);
}

}  // namespace

BaseRecord base_record(const StageHistory& stage) {
    return {stage.name,
            stage.best.individual,
            stage.best.start_tokens,
            stage.best.attention_scale,
            stage.target_tokens,
            stage.best.factors};
}

StageRun::StageRun(StagePlan plan, const StageHistory* earlier)
    : plan_{std::move(plan)}, search_{plan_.search} {
    if (earlier) earlier_ = *earlier;
    history_.name = plan_.settings.name;
    history_.kind = plan_.settings.kind;
    history_.model_digest = plan_.model_digest;
    history_.base = plan_.base;
    history_.target_tokens = static_cast<double>(plan_.positions);
    history_.original_window = plan_.original_window;
    history_.theta = plan_.theta;
    history_.attention_scale = plan_.attention_scale;
    history_.baselines = empty_table<ScoreRow>(plan_.search_documents, plan_);
    history_.evaluations = empty_table<EvaluationRow>(plan_.search_documents, plan_);
    history_.validation = empty_table<ScoreRow>(plan_.validation_documents, plan_);
    history_.start_token_sweep = empty_table<ScoreRow>(plan_.validation_documents, plan_);
    history_.heldout = empty_table<ScoreRow>(plan_.heldout_documents, plan_);
    if (!earlier_) return;
    if (history_.model_digest.empty()) history_.model_digest = earlier_->model_digest;
    check_base(earlier_->base);

    const auto same_documents = [this](const auto& stored, const auto& ours, const char* name) {
        require(stored.documents == ours.documents, plan_.settings.name,
                fmt::format("its {} documents are not those of the configuration", name));
        require(stored.dimensions == ours.dimensions, plan_.settings.name,
                fmt::format("its {} factors have {} dimensions, the model has {}", name,
                            stored.dimensions, ours.dimensions));
    };
    same_documents(earlier_->baselines, history_.baselines, "baseline");
    same_documents(earlier_->evaluations, history_.evaluations, "search");
    same_documents(earlier_->validation, history_.validation, "validation");
    same_documents(earlier_->start_token_sweep, history_.start_token_sweep, "start token sweep");
    same_documents(earlier_->heldout, history_.heldout, "heldout");
    drop_unscored_end(earlier_->evaluations, search_.total());
    const std::uint64_t held = earlier_->evaluations.rows.size();
    const std::uint64_t children = plan_.search.mutations + plan_.search.crossovers;
    require(held <= search_.total(), plan_.settings.name,
            fmt::format("it holds {} individuals, but the configured iterations = {} end at {}: "
                        "iterations may be raised, not lowered, here to {} or more",
                        held, plan_.settings.iterations, search_.total(),
                        (held - plan_.search.population + children - 1) / children));
    history_.failures = earlier_->failures;
    history_.task_seconds = earlier_->task_seconds;
    history_.budget_gpu_hours = earlier_->budget_gpu_hours;  // until a score goes beyond its end
    restored_ = scores_in(*earlier_);
    computed_ = computed_scores(*earlier_);
    // Rows of the final phase that belong to other numbers of iterations stay as they are.
    const auto is_other = [this](const ScoreRow& row) {
        return row.iterations != plan_.settings.iterations;
    };
    scored_ += take_rows(history_.validation, earlier_->validation, is_other);
    scored_ += take_rows(history_.start_token_sweep, earlier_->start_token_sweep, is_other);
    scored_ += take_rows(history_.heldout, earlier_->heldout, is_other);
}

/// All individuals of the stage are of the result that its base had when it began.
void StageRun::check_base(const BaseRecord& stored) const {
    const BaseRecord& ours = plan_.base;
    require(
        stored == ours, plan_.settings.name,
        fmt::format("it builds on individual {} of stage \"{}\", but now that stage's result is "
                    "individual {}, or has other factors, start tokens or attention scale",
                    stored.individual, stored.stage, ours.individual));
}

ScoreTable<ScoreRow>& StageRun::table(Phase phase) {
    return const_cast<ScoreTable<ScoreRow>&>(std::as_const(*this).table(phase));
}

const ScoreTable<ScoreRow>& StageRun::table(Phase phase) const {
    switch (phase) {
        case Phase::validation:
            return history_.validation;
        case Phase::sweep:
            return history_.start_token_sweep;
        case Phase::heldout:
            return history_.heldout;
        default:
            return history_.baselines;
    }
}

std::vector<NumberedJob> StageRun::ready() {
    std::vector<NumberedJob> jobs;
    if (!std::exchange(begun_, true)) {
        for (const NamedVector& baseline : plan_.baselines) {
            add_score_row(Phase::baselines, row_of_baseline(baseline), baseline.factors, jobs);
        }
    }
    breed(jobs);
    advance(jobs);
    return jobs;
}

void StageRun::breed(std::vector<NumberedJob>& jobs) {
    while (true) {
        apply_stop_rules();
        const auto individual = search_.next();
        if (!individual) break;
        add_individual(*individual, jobs);
        close_generations();
    }
    if (search_.finished() && history_.ended_by.empty()) history_.ended_by = "iterations";
}

void StageRun::check_replay(const Individual& individual, const std::vector<double>& factors,
                            const ScoreTable<EvaluationRow>& earlier) const {
    const EvaluationRow& stored = earlier.rows[individual.number];
    const auto same = [&](const char* what, auto found, auto expected) {
        require(found == expected, plan_.settings.name,
                fmt::format("individual {} has {} = {}, but this configuration breeds {}",
                            individual.number, what, found, expected));
    };
    same("generation", stored.generation, individual.generation);
    same("origin", static_cast<int>(stored.origin), static_cast<int>(individual.origin));
    same("parent_a", stored.parent_a, individual.parent_a);
    same("parent_b", stored.parent_b, individual.parent_b);
    same("frontier", stored.frontier, individual.frontier);
    same("skipped", stored.status == Status::skipped, !individual.candidate.has_value());
    if (!individual.candidate) return;
    same("start_tokens", stored.start_tokens, individual.candidate->start_tokens);
    const auto stored_factors = factors_of(earlier, individual.number);
    for (std::size_t i = 0; i < factors.size(); ++i) {
        same(fmt::format("factor {}", i).c_str(), stored_factors[i], factors[i]);
    }
}

void StageRun::add_individual(const Individual& individual, std::vector<NumberedJob>& jobs) {
    const std::vector<double> factors = search_.factors(individual.number);
    EvaluationRow row;
    row.individual = individual.number;
    row.generation = individual.generation;
    row.origin = individual.origin;
    row.parent_a = individual.parent_a;
    row.parent_b = individual.parent_b;
    row.frontier = individual.frontier;
    row.start_tokens = individual.candidate ? individual.candidate->start_tokens : 0;
    const std::size_t at = append_row(history_.evaluations, row, factors);
    if (earlier_ && at < earlier_->evaluations.rows.size()) {
        check_replay(individual, factors, earlier_->evaluations);
        restore_row(history_.evaluations, at, earlier_->evaluations, at);
        scored_ += scores_held(history_.evaluations, at);
    }
    if (!individual.candidate) {
        close_row(history_.evaluations, at, Status::skipped);
    } else if (history_.evaluations.rows[at].status != Status::pending ||
               settle_row(history_.evaluations, at)) {
        commit(individual.number);
    } else {
        enqueue(Phase::evaluations, at, jobs);
    }
}

void StageRun::check_function(const ScoreTable<ScoreRow>& stored, std::size_t at,
                              const std::vector<double>& factors, const ScoreRow& row) const {
    const auto same = [&](const std::string& what, auto found, auto expected) {
        require(found == expected, plan_.settings.name,
                fmt::format("the row \"{}\" has {} = {}, but this configuration gives it {}",
                            row.name, what, found, expected));
    };
    same("start_tokens", stored.rows[at].start_tokens, row.start_tokens);
    const auto stored_factors = factors_of(stored, at);
    for (std::size_t i = 0; i < factors.size(); ++i) {
        same(fmt::format("factor {}", i), stored_factors[i], factors[i]);
    }
}

void StageRun::add_score_row(Phase phase, ScoreRow row, const std::vector<double>& factors,
                             std::vector<NumberedJob>& jobs) {
    ScoreTable<ScoreRow>& to = table(phase);
    row.iterations = phase == Phase::baselines ? 0 : plan_.settings.iterations;
    const std::size_t at = append_row(to, row, factors);
    if (earlier_) {
        const ScoreTable<ScoreRow>& from = phase == Phase::baselines    ? earlier_->baselines
                                           : phase == Phase::validation ? earlier_->validation
                                           : phase == Phase::sweep ? earlier_->start_token_sweep
                                                                   : earlier_->heldout;
        if (const auto stored = find_stored(from, row)) {
            check_function(from, *stored, factors, row);
            copy_scores(to, at, from, *stored);
        }
    }
    if (to.rows[at].status != Status::pending || share_scores(to, at)) return;
    if (!settle_row(to, at)) enqueue(phase, at, jobs);
}

/// One function is evaluated once on a document: rows that stand for it share the scores.
/// @returns whether the row has its scores, or waits for those of another
bool StageRun::share_scores(ScoreTable<ScoreRow>& table, std::size_t row) {
    const ScoreRow& own = table.rows[row];
    for (std::size_t other = 0; other < row; ++other) {
        if (!is_function(table, other, factors_of(table, row), own.start_tokens)) continue;
        if (table.rows[other].status != Status::pending) {
            copy_scores(table, row, table, other);
            return true;
        }
        if (table.rows[other].iterations == own.iterations) return true;
        // Left behind by an interrupted final phase; nobody will finish it.
        std::uint32_t taken = 0;
        for (const std::uint32_t column : missing_columns(table, row)) {
            if (cell_status(table, other, column) == DocumentStatus::missing) continue;
            set_cell(table, row, column, document_nll_of(table, other)[column]);
            ++taken;
        }
        table.rows[row].other_numerics += std::min(taken, table.rows[other].other_numerics);
        scored_ += taken;
    }
    return false;
}

/// Gives the scores of a row that has just ended to those that waited for them.
void StageRun::settle_twins(ScoreTable<ScoreRow>& table, std::size_t row) {
    for (std::size_t other = row + 1; other < table.rows.size(); ++other) {
        const ScoreRow& twin = table.rows[other];
        if (twin.status == Status::pending && twin.iterations == table.rows[row].iterations &&
            is_function(table, other, factors_of(table, row), table.rows[row].start_tokens)) {
            copy_scores(table, other, table, row);
        }
    }
}

void StageRun::copy_scores(ScoreTable<ScoreRow>& to, std::size_t row,
                           const ScoreTable<ScoreRow>& from, std::size_t from_row) {
    scored_ -= scores_held(to, row);
    restore_row(to, row, from, from_row);
    scored_ += scores_held(to, row);
}

void StageRun::enqueue(Phase phase, std::size_t row, std::vector<NumberedJob>& jobs) {
    NumberedJob numbered;
    numbered.id = (static_cast<JobId>(phase) << phase_shift) | row;
    Job& job = numbered.job;
    job.attention_scale = plan_.attention_scale;
    job.positions = plan_.positions;
    const auto fill = [this, &job, row](const auto& from) {
        const auto factors = factors_of(from, row);
        job.factors.assign(factors.begin(), factors.end());
        job.start_tokens = from.rows[row].start_tokens;
        job.documents = from.documents;
        job.columns = missing_columns(from, row);
        if (plan_.lengths.size() == 1) return;
        for (const std::uint64_t tokens : from.document_tokens) {
            job.column_positions.push_back(tokens + 1);
        }
    };
    if (phase == Phase::evaluations) {
        fill(history_.evaluations);
    } else {
        fill(table(phase));
    }
    jobs.push_back(std::move(numbered));
}

std::optional<double> StageRun::expected_task_seconds(std::uint64_t positions) const {
    if (computed_ == 0 || history_.task_seconds <= 0) return std::nullopt;
    // At all lengths together, no less than at the longest; a task grows at least with its length.
    const double at_all_lengths = history_.task_seconds *
                                  static_cast<double>(plan_.lengths.size()) /
                                  static_cast<double>(computed_);
    const std::uint64_t longest =
        std::ranges::max_element(plan_.lengths, {}, &ScoredLength::tokens)->tokens;
    return at_all_lengths * static_cast<double>(positions) / static_cast<double>(longest);
}

void StageRun::on_started(JobId job, std::int64_t now) {
    const auto mark = [now](auto& row) {
        if (row.started == 0) row.started = now;
        ++row.attempts;
    };
    const auto phase = static_cast<Phase>(job >> phase_shift);
    const std::size_t row = job & 0xffffffffU;
    if (phase == Phase::evaluations) {
        mark(history_.evaluations.rows[row]);
    } else {
        mark(table(phase).rows[row]);
    }
}

void StageRun::on_score(const DocumentScore& score, std::int64_t now, bool other_numerics) {
    const auto phase = static_cast<Phase>(score.job >> phase_shift);
    const std::size_t row = score.job & 0xffffffffU;
    ++scored_;
    ++computed_;
    history_.task_seconds += score.seconds;
    if (phase == Phase::evaluations) history_.budget_gpu_hours = 0.0;
    const auto enter = [&](auto& to) {
        set_cell(to, row, score.column, score.sum_nll);
        to.rows[row].worker = score.worker;
        to.rows[row].finished = now;
        to.rows[row].other_numerics += other_numerics ? 1U : 0U;
        return settle_row(to, row);
    };
    if (phase != Phase::evaluations) {
        if (enter(table(phase))) settle_twins(table(phase), row);
    } else if (enter(history_.evaluations)) {
        commit(static_cast<std::uint32_t>(row));
    }
}

std::string StageRun::task_name(JobId job, std::uint32_t column) const {
    const auto phase = static_cast<Phase>(job >> phase_shift);
    const std::size_t row = job & 0xffffffffU;
    const auto on_document = [column](const auto& scored) {
        return fmt::format("document {} (\"{}\")", scored.documents.at(column),
                           scored.document_titles.at(column));
    };
    if (phase == Phase::evaluations) {
        return fmt::format("individual {} on {}", row, on_document(history_.evaluations));
    }
    const ScoreTable<ScoreRow>& scored = table(phase);
    return fmt::format("row \"{}\" of {} on {}", scored.rows.at(row).name, name_of(phase),
                       on_document(scored));
}

const char* StageRun::name_of(Phase phase) {
    static constexpr const char* names[] = {"baselines", "evaluations", "validation",
                                            "start_token_sweep", "heldout"};
    return names[static_cast<std::size_t>(phase)];
}

void StageRun::on_fault(const FaultVerdict& verdict, protocol::WorkerId worker, std::int64_t now) {
    const auto phase = static_cast<Phase>(verdict.job >> phase_shift);
    const std::size_t row = verdict.job & 0xffffffffU;
    FailureRow failure;
    failure.phase = name_of(phase);
    failure.row = static_cast<std::uint32_t>(row);
    failure.document = verdict.column;
    failure.attempt = verdict.attempt;
    failure.worker = worker;
    failure.time = now;
    failure.reason = verdict.reason;
    history_.failures.push_back(std::move(failure));
    if (!verdict.final) return;
    const auto close = [&](auto& to) {
        to.rows[row].worker = worker;
        to.rows[row].finished = now;
        close_row(to, row, Status::failed);
    };
    if (phase != Phase::evaluations) {
        close(table(phase));
        settle_twins(table(phase), row);
    } else {
        close(history_.evaluations);
        commit(static_cast<std::uint32_t>(row));
    }
}

void StageRun::commit(std::uint32_t individual) {
    const EvaluationRow& row = history_.evaluations.rows[individual];
    search_.commit(individual, {row.status, row.mean_nll});
    const auto best = search_.best(1);
    if (!best.empty()) choose_best("search", best.front());
    close_generations();
}

void StageRun::choose_best(std::string chosen_by, std::uint32_t individual) {
    const EvaluationRow& row = history_.evaluations.rows[individual];
    BestRecord& best = history_.best;
    best.individual = static_cast<std::int32_t>(individual);
    best.iterations = plan_.settings.iterations;
    best.chosen_by = std::move(chosen_by);
    best.start_tokens = row.start_tokens;
    best.attention_scale = plan_.attention_scale;
    best.mean_nll = row.mean_nll;
    best.perplexity = row.perplexity;
    best.factors = search_.factors(individual);
}

void StageRun::close_generations() {
    const Schedule& schedule = search_.schedule();
    while (true) {
        const auto generation = static_cast<std::uint32_t>(history_.generations.size());
        if (generation > plan_.settings.iterations) return;
        const auto summary =
            generation_summary(history_.evaluations.rows, generation, schedule.first_of(generation),
                               schedule.last_of(generation));
        if (!summary) return;
        history_.generations.push_back(*summary);
    }
}

}  // namespace longrope::coordinator
