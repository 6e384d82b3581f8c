// SPDX-License-Identifier: Apache-2.0
#include "tests/coordinator/sample_history.hpp"

#include <cmath>
#include <limits>
#include <string>

namespace longrope::coordinator {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr std::int64_t start = 1'700'000'000'000'000'000;

template <typename Row>
void add_documents(ScoreTable<Row>& table, SampleSize size) {
    table.dimensions = size.dimensions;
    for (std::uint32_t document = 0; document < size.documents; ++document) {
        table.documents.push_back(7 + 2 * document);
        table.document_titles.push_back(document == 1 ? "Die Verwandlung – größer"
                                                      : "Title " + std::to_string(document));
        table.document_tokens.push_back(2047);
        table.document_weights.push_back(1.0);
    }
}

/// Factors, document sums and status that fit the row's status.
template <typename Row>
void fill_row(ScoreTable<Row>& table, Row& row, SampleSize size) {
    const auto number = static_cast<double>(table.rows.size());
    for (std::uint32_t i = 0; i < size.dimensions; ++i) {
        table.factors.push_back(row.status == Status::skipped ? nan
                                                              : 1.0 + 0.001 * (number + 1) * i);
    }
    double sum = 0;
    for (std::uint32_t i = 0; i < size.documents; ++i) {
        const double nll = 2047 * (2.5 - 0.01 * number) + i;
        switch (row.status) {
            case Status::done:
                table.document_status.push_back(DocumentStatus::done);
                table.document_nll.push_back(nll);
                sum += nll;
                break;
            case Status::failed:
                table.document_status.push_back(DocumentStatus::not_finite);
                table.document_nll.push_back(infinity);
                break;
            case Status::skipped:
                table.document_status.push_back(DocumentStatus::skipped);
                table.document_nll.push_back(nan);
                break;
            case Status::pending:
                table.document_status.push_back(DocumentStatus::missing);
                table.document_nll.push_back(nan);
                break;
        }
    }
    row.mean_nll = nan;
    if (row.status == Status::failed) row.mean_nll = infinity;
    if (row.status == Status::done) {
        row.tokens = std::uint64_t{2047} * size.documents;
        row.mean_nll = sum / static_cast<double>(row.tokens);
        row.worker = 1;
        row.started = start;
        row.finished = start + 1'000'000;
        row.other_numerics = row.start_tokens == 8 ? 2 : 0;
    }
    row.perplexity = std::exp(row.mean_nll);
    row.attempts = row.status == Status::failed ? 3 : 1;
    table.rows.push_back(row);
}

Status status_of(std::uint32_t individual, std::uint32_t individuals) {
    if (individual + 1 == individuals) return Status::pending;
    if (individual % 5 == 3) return Status::failed;
    if (individual % 5 == 4) return Status::skipped;
    return Status::done;
}

void add_score(ScoreTable<ScoreRow>& table, const std::string& name, std::int32_t individual,
               SampleSize size) {
    ScoreRow row;
    row.name = name;
    row.individual = individual;
    row.iterations = 3;
    row.status = Status::done;
    fill_row(table, row, size);
}

StageHistory begun_stage(SampleSize size) {
    StageHistory stage;
    stage.name = "2048";
    stage.target_tokens = 2048;
    stage.original_window = 256;
    stage.theta = 10000;
    stage.attention_scale = 1.25;
    stage.complete = true;
    stage.ended_by = "stagnation";
    stage.task_seconds = 123.5;
    stage.budget_gpu_hours = 2.5;
    for (auto* table :
         {&stage.baselines, &stage.validation, &stage.start_token_sweep, &stage.heldout}) {
        add_documents(*table, size);
    }
    add_documents(stage.evaluations, size);
    for (std::uint32_t i = 0; i < size.individuals; ++i) {
        EvaluationRow row;
        row.individual = i;
        row.generation = i / 4;
        row.origin = static_cast<Origin>(i % 4);
        row.parent_a = i < 4 ? -1 : 0;
        row.parent_b = row.origin == Origin::crossover && i >= 4 ? 1 : -1;
        row.frontier = 4 * (i / 4);
        row.start_tokens = 4 * (i % 3);
        row.status = status_of(i, size.individuals);
        fill_row(stage.evaluations, row, size);
    }
    for (const char* name : {"none", "pi", "ntk", "yarn"}) {
        add_score(stage.baselines, name, -1, size);
    }
    add_score(stage.validation, "individual 2", 2, size);
    add_score(stage.start_token_sweep, "start tokens 4", 2, size);
    add_score(stage.heldout, "searched", 2, size);
    stage.generations = {{0, 3, 1, 0, 2, 2.4, 11.0, 12.0, start},
                         {1, 3, 0, 1, 2, 2.4, 11.0, nan, start + 5}};
    stage.failures = {
        {"evaluations", 3, 0, 1, 1, start, "killed by signal 9: größer als der Speicher"},
        {"baselines", 0, 2, 2, -1, start + 1, ""}};
    stage.model_digest = "sha256:model";
    stage.base = {"256 \u2192 1024", 5, 4, 1.125, 1024, {}};
    for (std::uint32_t i = 0; i < size.dimensions; ++i) stage.base.factors.push_back(1 + 0.25 * i);
    stage.best = {2, 3, "validation", 8, 1.25, 2.4, 11.0, {}};
    for (std::uint32_t i = 0; i < size.dimensions; ++i) stage.best.factors.push_back(1 + 0.5 * i);
    return stage;
}

}  // namespace

RunHistory sample_history(SampleSize size) {
    RunHistory history;
    history.run_uuid = "0c8e5d4e-8d6f-4f0e-9e51-1b1f0a4d2c3b";
    history.program_version = "0.1.0";
    history.program_commit = "0123456789ab";
    history.created = "2024-01-02T03:04:05Z";
    history.updated = "2024-01-02T04:05:06Z";
    history.seed = 18'000'000'000'000'000'000U;
    history.numerics_class = "reference-1";
    history.configuration = "# größer\n[run]\nseed = 42\n";
    history.model_digest = "sha256:11";
    history.documents_digest = "sha256:22";
    history.identity = {{"seed", "42"}, {"stage.2048.population", "64"}, {"empty", ""}};
    history.hosts = "node1,node2";
    history.libraries = "HDF5 1.10.8";
    history.state = RunState::stopped_early;
    history.starts = 2;
    history.stored_at_start = 12;
    history.idle_starts = 1;
    history.stages.push_back(begun_stage(size));
    StageHistory later;
    later.name = "1024 later";  // sorts before the first: the order is kept all the same
    later.evaluations.dimensions = size.dimensions;
    history.stages.push_back(later);
    history.workers = {
        {0, "node1", 4711, "CPU", "", "reference-1", 17, 1, 3.5, "idle"},
        {1, "node2", 4712, "NVIDIA H100", "GPU-1234", "cuda-1-90", 3, 0, 0.5, "lost"}};
    return history;
}

}  // namespace longrope::coordinator
