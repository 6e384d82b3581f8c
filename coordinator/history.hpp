// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "coordinator/individual.hpp"

namespace longrope::coordinator {

/// A history that cannot be read or written: file, group, dataset, what was found, what is
/// accepted.
class HistoryError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// A history that the system does not let us write or read: what was attempted, path, errno's text.
/// The last snapshot is intact.
class HistoryWriteError : public HistoryError {
public:
    using HistoryError::HistoryError;
};

/// State of one (row, document) cell. The numbers are those of the history file.
enum class DocumentStatus : std::uint8_t { missing = 0, done = 1, not_finite = 2, skipped = 3 };

/// One row of /stages/<name>/evaluations: row i is individual i. Scalars only.
struct EvaluationRow {
    std::uint32_t individual = 0;
    std::uint32_t generation = 0;
    Origin origin = Origin::seed;
    std::int32_t parent_a = -1;
    std::int32_t parent_b = -1;
    std::uint32_t frontier = 0;
    std::uint32_t start_tokens = 0;
    Status status = Status::pending;
    double mean_nll = 0.0;       ///< nats per token; NaN while pending or skipped, +inf if failed
    double perplexity = 0.0;     ///< exp(mean_nll)
    std::uint64_t tokens = 0;    ///< scored so far
    std::uint32_t attempts = 0;  ///< tasks started for it, faults included
    std::int32_t worker = -1;    ///< the rank that finished it
    std::int64_t started = 0;    ///< ns since 1970-01-01 UTC; 0: not yet
    std::int64_t finished = 0;
    /// Documents scored in another numerics class than the history's; unknown, and 0, in histories
    /// before format version 4.
    std::uint32_t other_numerics = 0;
};

/// A factor vector scored outside the evolution: a named baseline, or a candidate of the final
/// phase.
struct ScoreRow {
    std::string name;              ///< none, pi, ntk, yarn …, or "individual 17", or "searched"
    std::int32_t individual = -1;  ///< -1: a baseline
    std::uint32_t iterations = 0;  ///< iterations of the search this row belongs to
    std::uint32_t start_tokens = 0;
    Status status = Status::pending;
    double mean_nll = 0.0;
    double perplexity = 0.0;
    std::uint64_t tokens = 0;
    std::uint32_t attempts = 0;
    std::int32_t worker = -1;
    std::int64_t started = 0;
    std::int64_t finished = 0;
    std::uint32_t other_numerics = 0;
};

/// Scores per document of N factor vectors, all on the same documents, row-major matrices.
template <typename Row>
struct ScoreTable {
    std::vector<Row> rows;                        ///< shape [N]
    std::vector<double> factors;                  ///< shape [N, dimensions]; NaN if skipped
    std::vector<double> document_nll;             ///< shape [N, documents]: sums in nats
    std::vector<DocumentStatus> document_status;  ///< shape [N, documents]
    std::vector<std::uint32_t> documents;         ///< shape [documents]: index in the file
    std::vector<std::string> document_titles;     ///< shape [documents]
    std::vector<std::uint64_t> document_tokens;   ///< shape [documents]: scored tokens of each
    /// Shape [documents]: what the mean over the columns of as many tokens counts; the weights of
    /// the different lengths add up to 1.
    std::vector<double> document_weights;
    std::uint32_t dimensions = 0;  ///< rotary frequencies: length of a factor vector
};

/// One row of /stages/<name>/generations.
struct GenerationRow {
    std::uint32_t generation = 0;
    std::uint32_t evaluated = 0;  ///< individuals done in it
    std::uint32_t failed = 0;
    std::uint32_t skipped = 0;
    std::int32_t best_individual = -1;  ///< best of all generations so far
    double best_mean_nll = 0.0;
    double best_perplexity = 0.0;
    double mean_perplexity = 0.0;  ///< of this generation's finite ones
    std::int64_t finished = 0;     ///< ns since 1970-01-01 UTC
};

/// /stages/<name>/best: what is exported.
struct BestRecord {
    std::int32_t individual = -1;  ///< -1: none yet
    std::uint32_t iterations = 0;  ///< iterations of the search it was chosen after
    std::string chosen_by;         ///< "search" (best so far) or "validation"
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
    double mean_nll = 0.0;  ///< on the search documents
    double perplexity = 0.0;
    std::vector<double> factors;  ///< shape [dimensions]
};

/// One evaluator fault that ended a task or an individual, in order of time.
struct FailureRow {
    std::string phase;  ///< baselines, evaluations, validation, start_token_sweep, heldout
    std::uint32_t row = 0;
    std::uint32_t document = 0;  ///< column of that phase
    std::uint32_t attempt = 0;
    std::int32_t worker = -1;
    std::int64_t time = 0;  ///< ns since 1970-01-01 UTC
    std::string reason;
};

/// /stages/<name>/base: the result of another stage that this one builds on.
struct BaseRecord {
    std::string stage;             ///< empty: it builds on none
    std::int32_t individual = -1;  ///< of that stage
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
    double target_tokens = 0;
    std::vector<double> factors;  ///< shape [dimensions], or [0] where there is no base

    friend bool operator==(const BaseRecord&, const BaseRecord&) = default;
};

struct StageHistory {
    std::string name;
    std::string kind = "search";  ///< search, recovery
    std::string model_digest;     ///< empty in histories of format version 1 and 2: the run's
    BaseRecord base;
    double target_tokens = 0;
    double original_window = 0;
    double theta = 0;
    double attention_scale = 1.0;
    ScoreTable<ScoreRow> baselines;  ///< on the search documents
    ScoreTable<EvaluationRow> evaluations;
    ScoreTable<ScoreRow> validation;
    ScoreTable<ScoreRow> start_token_sweep;  ///< of the best, on the validation documents
    ScoreTable<ScoreRow> heldout;
    std::vector<GenerationRow> generations;
    std::vector<FailureRow> failures;
    BestRecord best;
    bool complete = false;  ///< the final phase is done
    /// The setting that ended the evolution: iterations, max_evaluations, stagnation,
    /// budget_gpu_hours; empty while it goes on, and in histories of format version 1.
    std::string ended_by;
    double task_seconds = 0.0;      ///< that evaluators spent on its scores, all starts together
    double budget_gpu_hours = 0.0;  ///< that ended the evolution; 0: none did
};

struct WorkerRow {
    std::int32_t rank = 0;
    std::string host;
    std::int64_t pid = 0;  ///< of the evaluator process
    std::string device;
    std::string device_uuid;
    std::string numerics_class;
    std::uint64_t tasks = 0;
    std::uint64_t faults = 0;
    double busy_seconds = 0.0;
    std::string state;  ///< starting, idle, busy, lost, refused
};

/// How the last start of the program ended, for `status` and scripts.
enum class RunState : std::uint8_t {
    running = 0,
    complete = 1,
    stopped_early = 2,
    failed = 3,
    waiting = 4  ///< for the model of a stage, which does not exist yet
};

/// Everything that run/search.h5 holds; history_format.md is its page. Compare contents by
/// content_digest (history_digest.hpp): pending rows hold NaN, which equals nothing.
struct RunHistory {
    std::string run_uuid;
    std::string program_version;
    std::string program_commit;
    std::string created;  ///< ISO 8601, UTC
    std::string updated;
    std::uint64_t seed = 0;
    std::string numerics_class;
    std::string configuration;  ///< the effective configuration, TOML
    std::string model_digest;
    std::string documents_digest;
    std::map<std::string, std::string> identity;  ///< identity settings, key -> value as text
    std::string hosts;                            ///< comma-separated
    std::string libraries;                        ///< versions, comma-separated
    RunState state = RunState::running;
    std::string state_reason;           ///< one sentence
    std::uint32_t starts = 0;           ///< times the program was started on it
    std::uint64_t stored_at_start = 0;  ///< document scores stored when the last start began
    std::uint64_t idle_starts = 0;      ///< in a row before the last one, that stored no score
    std::vector<StageHistory> stages;
    std::vector<WorkerRow> workers;
};

/// Whether the parts fit each other: row i is individual i, matrices have rows x columns values,
/// stage names are distinct and can name a group. Both writer and reader insist on it.
/// @param file  named in the message
/// @throws HistoryError "<file>: <path>: found …, expected …"
void require_consistent(const RunHistory& history, const std::string& file);

}  // namespace longrope::coordinator
