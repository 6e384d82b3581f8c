// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <tuple>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// One value of a row or record: its name in the file, where it lives in memory, unit and meaning.
/// Columns of tables, attributes of groups and the digest are all derived from these lists, in
/// their order; history_format.md is their prose.
template <typename Record, typename Value>
struct Field {
    const char* name;
    Value Record::*member;
    const char* unit;  ///< "1": dimensionless, "": not a quantity
    const char* description;
    std::uint32_t since = 1;  ///< format version that brought it
};

// Clang before 17 does not deduce the arguments of an aggregate.
template <typename Record, typename Value>
Field(const char*, Value Record::*, const char*, const char*) -> Field<Record, Value>;
template <typename Record, typename Value>
Field(const char*, Value Record::*, const char*, const char*, std::uint32_t)
    -> Field<Record, Value>;

/// The names of an enumeration's values, by their number in the file.
template <typename Enum>
inline constexpr auto legend = std::array<const char*, 0>{};

template <>
inline constexpr auto legend<Origin> =
    std::array{"seed", "initial_mutation", "mutation", "crossover"};
template <>
inline constexpr auto legend<Status> = std::array{"pending", "done", "failed", "skipped"};
template <>
inline constexpr auto legend<DocumentStatus> =
    std::array{"missing", "done", "not_finite", "skipped"};
template <>
inline constexpr auto legend<RunState> =
    std::array{"running", "complete", "stopped_early", "failed", "waiting"};

inline constexpr const char* nanoseconds_utc = "nanoseconds since 1970-01-01 00:00:00 UTC";

/// The stored fields of a row or record; specialised for each below.
template <typename Record>
inline constexpr auto fields = std::tuple{};

template <>
inline constexpr auto fields<EvaluationRow> = std::tuple{
    Field{"individual", &EvaluationRow::individual, "1", "number of the individual: the row"},
    Field{"generation", &EvaluationRow::generation, "1", "0 is the first population"},
    Field{"origin", &EvaluationRow::origin, "", "how the individual came about"},
    Field{"parent_a", &EvaluationRow::parent_a, "1", "individual it was bred from, or -1"},
    Field{"parent_b", &EvaluationRow::parent_b, "1", "second parent of a crossover, or -1"},
    Field{"frontier", &EvaluationRow::frontier, "1", "it saw the results of individuals below"},
    Field{"start_tokens", &EvaluationRow::start_tokens, "token",
          "leading tokens that keep their positions"},
    Field{"status", &EvaluationRow::status, "", "state of the evaluation"},
    Field{"mean_nll", &EvaluationRow::mean_nll, "nat/token",
          "mean negative log-likelihood; NaN while pending or skipped, +inf if failed"},
    Field{"perplexity", &EvaluationRow::perplexity, "1", "exp(mean_nll)"},
    Field{"tokens", &EvaluationRow::tokens, "token", "scored so far"},
    Field{"attempts", &EvaluationRow::attempts, "1", "tasks started, faults included"},
    Field{"worker", &EvaluationRow::worker, "1", "rank that finished it, or -1"},
    Field{"started", &EvaluationRow::started, nanoseconds_utc, "first task sent; 0: not yet"},
    Field{"finished", &EvaluationRow::finished, nanoseconds_utc, "last result; 0: not yet"},
    Field{"other_numerics", &EvaluationRow::other_numerics, "1",
          "documents scored in another numerics class than the history's", 4}};

template <>
inline constexpr auto fields<ScoreRow> = std::tuple{
    Field{"name", &ScoreRow::name, "", "method, \"individual 17\", or \"searched\""},
    Field{"individual", &ScoreRow::individual, "1", "row of evaluations; -1: a baseline"},
    Field{"iterations", &ScoreRow::iterations, "1", "iterations of the search it belongs to"},
    Field{"start_tokens", &ScoreRow::start_tokens, "token",
          "leading tokens that keep their positions"},
    Field{"status", &ScoreRow::status, "", "state of the evaluation"},
    Field{"mean_nll", &ScoreRow::mean_nll, "nat/token",
          "mean negative log-likelihood; NaN while pending or skipped, +inf if failed"},
    Field{"perplexity", &ScoreRow::perplexity, "1", "exp(mean_nll)"},
    Field{"tokens", &ScoreRow::tokens, "token", "scored so far"},
    Field{"attempts", &ScoreRow::attempts, "1", "tasks started, faults included"},
    Field{"worker", &ScoreRow::worker, "1", "rank that finished it, or -1"},
    Field{"started", &ScoreRow::started, nanoseconds_utc, "first task sent; 0: not yet"},
    Field{"finished", &ScoreRow::finished, nanoseconds_utc, "last result; 0: not yet"},
    Field{"other_numerics", &ScoreRow::other_numerics, "1",
          "documents scored in another numerics class than the history's", 4}};

template <>
inline constexpr auto fields<GenerationRow> = std::tuple{
    Field{"generation", &GenerationRow::generation, "1", "0 is the first population"},
    Field{"evaluated", &GenerationRow::evaluated, "1", "individuals done in it"},
    Field{"failed", &GenerationRow::failed, "1", "individuals failed in it"},
    Field{"skipped", &GenerationRow::skipped, "1", "individuals that could not be bred"},
    Field{"best_individual", &GenerationRow::best_individual, "1",
          "best of all generations so far, or -1"},
    Field{"best_mean_nll", &GenerationRow::best_mean_nll, "nat/token", "of best_individual"},
    Field{"best_perplexity", &GenerationRow::best_perplexity, "1", "of best_individual"},
    Field{"mean_perplexity", &GenerationRow::mean_perplexity, "1",
          "mean over this generation's finite ones"},
    Field{"finished", &GenerationRow::finished, nanoseconds_utc, "end of the generation"}};

template <>
inline constexpr auto fields<FailureRow> = std::tuple{
    Field{"phase", &FailureRow::phase, "", "baselines, evaluations, validation, start_token_sweep or heldout"},
    Field{"row", &FailureRow::row, "1", "row of that phase"},
    Field{"document", &FailureRow::document, "1", "column of that phase"},
    Field{"attempt", &FailureRow::attempt, "1", "number of the attempt"},
    Field{"worker", &FailureRow::worker, "1", "rank on which it happened, or -1"},
    Field{"time", &FailureRow::time, nanoseconds_utc, "when it was noticed"},
    Field{"reason", &FailureRow::reason, "", "the evaluator's last words"}};

template <>
inline constexpr auto fields<WorkerRow> = std::tuple{
    Field{"rank", &WorkerRow::rank, "1", "MPI rank"},
    Field{"host", &WorkerRow::host, "", "host name"},
    Field{"pid", &WorkerRow::pid, "1", "of the evaluator process"},
    Field{"device", &WorkerRow::device, "", "name of the device"},
    Field{"device_uuid", &WorkerRow::device_uuid, "", "identity of the device"},
    Field{"numerics_class", &WorkerRow::numerics_class, "", "results of one class agree bitwise"},
    Field{"tasks", &WorkerRow::tasks, "1", "tasks done"},
    Field{"faults", &WorkerRow::faults, "1", "evaluator faults"},
    Field{"busy_seconds", &WorkerRow::busy_seconds, "s", "time spent on tasks"},
    Field{"state", &WorkerRow::state, "", "starting, idle, busy, lost or refused"}};

template <>
inline constexpr auto fields<BestRecord> = std::tuple{
    Field{"individual", &BestRecord::individual, "1", "row of evaluations; -1: none yet"},
    Field{"iterations", &BestRecord::iterations, "1", "iterations after which it was chosen"},
    Field{"chosen_by", &BestRecord::chosen_by, "", "search or validation"},
    Field{"start_tokens", &BestRecord::start_tokens, "token",
          "leading tokens that keep their positions"},
    Field{"attention_scale", &BestRecord::attention_scale, "1", "factor on cosine and sine"},
    Field{"mean_nll", &BestRecord::mean_nll, "nat/token",
          "of the individual, on the search documents"},
    Field{"perplexity", &BestRecord::perplexity, "1", "exp(mean_nll)"}};

template <>
inline constexpr auto fields<BaseRecord> = std::tuple{
    Field{"stage", &BaseRecord::stage, "", "stage it builds on; empty: none", 3},
    Field{"individual", &BaseRecord::individual, "1", "row of that stage's evaluations", 3},
    Field{"start_tokens", &BaseRecord::start_tokens, "token",
          "leading tokens that keep their positions", 3},
    Field{"attention_scale", &BaseRecord::attention_scale, "1", "factor on cosine and sine", 3},
    Field{"target_tokens", &BaseRecord::target_tokens, "token", "of that stage", 3}};

template <>
inline constexpr auto fields<StageHistory> = std::tuple{
    Field{"target_tokens", &StageHistory::target_tokens, "token", "context window aimed at"},
    Field{"original_window", &StageHistory::original_window, "token", "the model's own window"},
    Field{"theta", &StageHistory::theta, "1", "base of the rotary frequencies"},
    Field{"attention_scale", &StageHistory::attention_scale, "1", "factor on cosine and sine"},
    Field{"complete", &StageHistory::complete, "", "1: the final phase is done"},
    Field{"ended_by", &StageHistory::ended_by, "",
          "setting that ended the evolution; empty: it goes on", 2},
    Field{"task_seconds", &StageHistory::task_seconds, "s",
          "that evaluators spent on its scores, all starts together", 2},
    Field{"kind", &StageHistory::kind, "", "search, or recovery of a short length", 3},
    Field{"model_digest", &StageHistory::model_digest, "", "of the model it was scored with", 3},
    Field{"budget_gpu_hours", &StageHistory::budget_gpu_hours, "h",
          "that ended the evolution; 0: none did", 4}};

template <>
inline constexpr auto fields<RunHistory> = std::tuple{
    Field{"run_uuid", &RunHistory::run_uuid, "", "identity of the run"},
    Field{"program_version", &RunHistory::program_version, "", "of the last start"},
    Field{"program_commit", &RunHistory::program_commit, "", "of the last start"},
    Field{"created", &RunHistory::created, "", "ISO 8601, UTC"},
    Field{"updated", &RunHistory::updated, "", "ISO 8601, UTC"},
    Field{"seed", &RunHistory::seed, "1", "key of all random streams"},
    Field{"numerics_class", &RunHistory::numerics_class, "", "results of one class agree bitwise"},
    Field{"configuration", &RunHistory::configuration, "", "the effective configuration, TOML"},
    Field{"model_digest", &RunHistory::model_digest, "", "of the model's files"},
    Field{"documents_digest", &RunHistory::documents_digest, "", "of the documents' file"},
    Field{"hosts", &RunHistory::hosts, "", "comma-separated"},
    Field{"libraries", &RunHistory::libraries, "", "versions, comma-separated"},
    Field{"state", &RunHistory::state, "", "how the last start ended"},
    Field{"state_reason", &RunHistory::state_reason, "", "one sentence"},
    Field{"starts", &RunHistory::starts, "1", "times the program was started on the run"},
    Field{"stored_at_start", &RunHistory::stored_at_start, "1",
          "document scores stored when the last start began"},
    Field{"idle_starts", &RunHistory::idle_starts, "1",
          "starts in a row, before the last one, that stored no score", 2}};

/// A group /stages/<name>/<this name> of vectors scored outside the evolution.
struct ScoreGroup {
    const char* name;
    ScoreTable<ScoreRow> StageHistory::*member;
    const char* description;
};

inline constexpr std::array score_groups{
    ScoreGroup{"baselines", &StageHistory::baselines, "named methods on the search documents"},
    ScoreGroup{"validation", &StageHistory::validation,
               "best individuals and named methods on the documents of the final choice"},
    ScoreGroup{"start_token_sweep", &StageHistory::start_token_sweep,
               "the best factors with other start tokens, on the validation documents"},
    ScoreGroup{"heldout", &StageHistory::heldout,
               "the result and the named methods on documents that decided nothing"}};

/// The format that is written; history_format.md has the rule. A new field raises it and has it as
/// `since`.
inline constexpr std::uint32_t history_format_version = 4;
/// The first version with weights of documents and with bases.
inline constexpr std::uint32_t campaigns_since = 3;

/// Calls visit(field) for each field of Record that a version has, in order.
template <typename Record, typename Visit>
constexpr void for_each_field(Visit&& visit, std::uint32_t version = history_format_version) {
    const auto visit_known = [&](const auto& field) {
        if (field.since <= version) visit(field);
    };
    std::apply([&](const auto&... field) { (visit_known(field), ...); }, fields<Record>);
}

}  // namespace longrope::coordinator
