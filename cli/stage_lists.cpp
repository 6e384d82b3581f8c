// SPDX-License-Identifier: Apache-2.0
#include "cli/stage_lists.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "cli/arguments.hpp"
#include "coordinator/final_choice.hpp"
#include "coordinator/score_table.hpp"

namespace longrope::cli {
namespace {

using coordinator::RunHistory;
using coordinator::ScoreTable;
using coordinator::StageHistory;
using coordinator::Status;

bool is_list_for_long_texts(const StageHistory& stage) {
    return stage.best.individual >= 0 && stage.target_tokens > stage.original_window;
}

std::string names_of(const RunHistory& history) {
    std::vector<std::string> names;
    for (const StageHistory& stage : history.stages) names.push_back(stage.name);
    return fmt::format("{}", fmt::join(names, ", "));
}

const StageHistory& named_stage(const RunHistory& history, const std::string& name,
                                const char* flag) {
    const auto found = std::ranges::find(history.stages, name, &StageHistory::name);
    if (found != history.stages.end()) return *found;
    throw UsageError{fmt::format("--{} {}: the history has no such stage; it has {}", flag, name,
                                 names_of(history))};
}

/// The columns of the most tokens: those of the stage's target, where it has others besides.
template <typename Row>
StoredScores longest_columns(const ScoreTable<Row>& table, std::size_t row, const char* name) {
    StoredScores scores;
    scores.documents_of = name;
    const auto nll = coordinator::document_nll_of(table, row);
    const std::uint64_t most = *std::ranges::max_element(table.document_tokens);
    for (std::size_t column = 0; column < table.documents.size(); ++column) {
        if (table.document_tokens[column] != most) continue;
        scores.documents.push_back(table.documents[column]);
        scores.nll.push_back(nll[column]);
        scores.scored_tokens.push_back(most);
    }
    return scores;
}

template <typename Row>
std::optional<StoredScores> scores_in(const ScoreTable<Row>& table, const char* name,
                                      std::span<const double> factors, std::uint32_t start_tokens) {
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        if (table.rows[row].status != Status::done) continue;
        if (table.rows[row].start_tokens != start_tokens) continue;
        if (!std::ranges::equal(coordinator::factors_of(table, row), factors)) continue;
        return longest_columns(table, row, name);
    }
    return std::nullopt;
}

/// All that the stage chose, the last of them at the end.
std::vector<coordinator::FinalChoice> choices_of(const StageHistory& stage) {
    std::vector<coordinator::FinalChoice> choices = coordinator::earlier_choices(stage);
    const auto last = coordinator::final_choice(stage, stage.best.iterations);
    if (stage.complete && last) choices.push_back(*last);
    return choices;
}

void take_individual(FactorList& list, const StageHistory& stage, std::uint32_t individual) {
    const ScoreTable<coordinator::EvaluationRow>& table = stage.evaluations;
    if (individual >= table.rows.size()) {
        throw UsageError{fmt::format("--individual {}: stage \"{}\" has individuals 0 to {}",
                                     individual, stage.name, table.rows.size() - 1)};
    }
    const coordinator::EvaluationRow& row = table.rows[individual];
    if (row.status != Status::done) {
        const char* const status = row.status == Status::failed    ? "has failed"
                                   : row.status == Status::skipped ? "was skipped"
                                                                   : "has no score yet";
        throw UsageError{fmt::format(
            "--individual {}: in stage \"{}\" it {}, expected one that is scored on all documents",
            individual, stage.name, status)};
    }
    const auto factors = coordinator::factors_of(table, individual);
    list.factors.assign(factors.begin(), factors.end());
    list.start_tokens = row.start_tokens;
    for (const coordinator::FinalChoice& choice : choices_of(stage)) {
        if (choice.individual == individual) list.start_tokens = choice.start_tokens;
    }
}

bool is_same(double ours, double theirs) {
    return std::abs(ours - theirs) <= 1e-9 * std::abs(ours);
}

void require_same(const std::string& what, double ours, double theirs, const std::string& stage) {
    if (is_same(ours, theirs)) return;
    throw UsageError{
        fmt::format("--short-stage {}: its {} is {}, that of the other stage {}: the formats hold "
                    "one for both lists; search it again with the same",
                    stage, what, theirs, ours)};
}

}  // namespace

std::vector<std::string> short_stages(const RunHistory& history, const StageHistory& from) {
    std::vector<std::string> names;
    for (const StageHistory& stage : history.stages) {
        if (stage.best.individual >= 0 && stage.target_tokens <= from.original_window &&
            digest_of_weights(history, from) == digest_of_weights(history, stage) &&
            is_same(from.original_window, stage.original_window) &&
            is_same(from.best.attention_scale, stage.best.attention_scale)) {
            names.push_back(stage.name);
        }
    }
    return names;
}

const StageHistory& long_stage(const RunHistory& history, const std::string& name) {
    if (!name.empty()) return named_stage(history, name, "stage");
    const StageHistory* only = nullptr;
    for (const StageHistory& stage : history.stages) {
        if (!is_list_for_long_texts(stage)) continue;
        if (only != nullptr) {
            throw UsageError{
                fmt::format("the history has several stages: say which with --stage, "
                            "one of {}",
                            names_of(history))};
        }
        only = &stage;
    }
    if (only == nullptr) {
        throw UsageError{
            fmt::format("none of the history's stages ({}) has factors for more than "
                        "its original window yet: search first",
                        names_of(history))};
    }
    return *only;
}

const std::string& digest_of_weights(const RunHistory& history, const StageHistory& stage) {
    return stage.model_digest.empty() ? history.model_digest : stage.model_digest;
}

FactorList stage_list(const StageHistory& stage, std::optional<std::uint32_t> individual) {
    const coordinator::BestRecord& best = stage.best;
    if (best.individual < 0) {
        throw UsageError{
            fmt::format("stage \"{}\" has found no factors yet: search first", stage.name)};
    }
    FactorList list;
    list.tokens = static_cast<std::uint64_t>(stage.target_tokens);
    if (individual) {
        take_individual(list, stage, *individual);
    } else {
        individual = static_cast<std::uint32_t>(best.individual);
        list.factors = best.factors;
        list.start_tokens = best.start_tokens;
    }
    list.origin = fmt::format("stage \"{}\", individual {}", stage.name, *individual);
    list.score = scores_in(stage.heldout, "heldout", list.factors, list.start_tokens);
    for (const auto& [table, name] : {std::pair{&stage.validation, "validation"},
                                      std::pair{&stage.start_token_sweep, "start_token_sweep"}}) {
        if (!list.score) list.score = scores_in(*table, name, list.factors, list.start_tokens);
    }
    if (!list.score) {
        list.score = scores_in(stage.evaluations, "search", list.factors, list.start_tokens);
    }
    return list;
}

FactorList short_list(const RunHistory& history, const StageHistory& from,
                      const std::string& name) {
    const StageHistory& stage = named_stage(history, name, "short-stage");
    FactorList list = stage_list(stage);
    require_same("original window", from.original_window, stage.original_window, name);
    if (digest_of_weights(history, from) != digest_of_weights(history, stage)) {
        throw UsageError{fmt::format(
            "--short-stage {}: it was searched with other weights than stage {}, and both lists go "
            "to one model; search it again with stage.model as there",
            name, from.name)};
    }
    require_same("attention scale", from.best.attention_scale, stage.best.attention_scale, name);
    if (stage.target_tokens > from.original_window) {
        throw UsageError{
            fmt::format("--short-stage {}: it is for {:.0f} tokens, and engines take the long list "
                        "above the original window of {:.0f}; give a stage for at most that",
                        name, stage.target_tokens, from.original_window)};
    }
    return list;
}

}  // namespace longrope::cli
