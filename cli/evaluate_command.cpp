// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluate_command.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cli/evaluation_file.hpp"
#include "cli/evaluation_jobs.hpp"
#include "cli/evaluation_plan.hpp"
#include "cli/evaluation_report.hpp"
#include "cli/model_scaling.hpp"
#include "cli/rank_scores.hpp"
#include "cli/standard_error.hpp"
#include "cli/token_scores_file.hpp"
#include "coordinator/atomic_file.hpp"
#include "coordinator/coordinate.hpp"

namespace longrope::cli {
namespace {

void save_token_scores(const EvaluationPlan& plan, std::span<CellScores> cells) {
    std::vector<TokenScoresBlock> blocks;
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        for (std::size_t l = 0; l < plan.tokens.size(); ++l) {
            const EvaluatedMethod& method = plan.methods[m];
            blocks.push_back({method.name, plan.tokens[l], method.factors, method.start_tokens,
                              plan.attention_scale_of(method),
                              std::move(cells[m * plan.tokens.size() + l].token_nll)});
        }
    }
    write_token_scores(plan.per_token, blocks);
}

/// @throws coordinator::NoWorkers naming what could not be scored
void require_scored(const EvaluationPlan& plan, const EvaluationReport& report,
                    std::span<const CellScores> cells) {
    const auto failed = std::ranges::count(report.cells, true, &CellSummary::failed);
    if (failed == 0) return;
    throw coordinator::NoWorkers{
        fmt::format("{} of {} cells failed for good, and the others are printed and written:{}",
                    failed, cells.size(), failures_text(plan, cells))};
}

/// @throws std::runtime_error for the first perplexity that is not a finite number
void require_finite(const EvaluationReport& report) {
    for (const CellSummary& cell : report.cells) {
        if (cell.failed || std::isfinite(cell.perplexity)) continue;
        throw std::runtime_error{fmt::format(
            "the perplexity of {} at {} tokens is {}: look for weights that are not numbers, and "
            "for factors or an attention scale far from 1",
            cell.method, cell.tokens, cell.perplexity)};
    }
}

}  // namespace

ExitCode run_evaluate(Job& job, const Words& words) {
    cxxopts::Options options{
        "longrope evaluate",
        "Perplexity of methods at several lengths, on documents of a split.\nOf a run, its "
        "model, documents and searched factors are taken.\nExit status 1 if a perplexity is not "
        "finite. Runs under mpirun too.\n"};
    options.positional_help("[DIRECTORY|CONFIG|FILE.h5]");
    options.add_options()("RUN", "run directory, its configuration file, or the history",
                          cxxopts::value<std::vector<std::string>>());
    options.parse_positional({"RUN"});
    add_evaluation_flags(options);
    add_setting_flags(options, {"run-directory", "backend", "threads", "weights", "isa",
                                "precision", "attention-scale", "stage"});
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    const EvaluationPlan plan = plan_evaluation(*parsed);
    const bool replaces = std::ranges::any_of(
        plan.methods, [](const EvaluatedMethod& method) { return method.name != "model"; });
    const std::string scaling = replaces ? replaced_scaling(plan.configuration) : "";
    if (!scaling.empty()) print_error("{}\n", scaling);
    if (plan.short_documents > 0) {
        print_error("left out of split \"{}\": {} shorter than {} tokens\n", plan.split,
                    plan.short_documents, *std::ranges::max_element(plan.tokens));
    }
    const EvaluationJobs work = jobs_of(plan);
    auto scores = score_on_ranks(job, plan.configuration, plan.stage_model, work.jobs);
    if (!scores) return ExitCode::stopped_early;
    std::vector<CellScores> cells = cells_of(plan, work, std::move(*scores));
    const EvaluationReport report = summarise(plan, cells);
    const bool json = parsed->count("json") > 0;
    std::cout << (json ? report_json(plan, report, cells) : report_text(plan, report, cells))
              << std::flush;
    if (!plan.csv.empty()) {
        const std::string text = report_csv(plan, report);
        coordinator::write_file_atomically(plan.csv, std::as_bytes(std::span{text}));
    }
    if (!plan.hdf5.empty()) write_evaluation_file(plan.hdf5, plan, report, cells);
    if (!plan.per_token.empty()) save_token_scores(plan, cells);
    require_scored(plan, report, cells);
    require_finite(report);
    return ExitCode::done;
}

}  // namespace longrope::cli
