// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluate_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cmath>
#include <iostream>
#include <numeric>

#include "cli/evaluation_plan.hpp"
#include "cli/model_scaling.hpp"
#include "cli/run_inputs.hpp"
#include "cli/score_report.hpp"
#include "cli/stop_signals.hpp"
#include "cli/token_scores_file.hpp"
#include "coordinator/coordinate.hpp"
#include "coordinator/score_jobs.hpp"

namespace longrope::cli {
namespace {

using coordinator::JobScores;

std::vector<coordinator::Job> jobs_of(const EvaluationPlan& plan) {
    std::vector<coordinator::Job> jobs;
    for (const EvaluatedMethod& method : plan.methods) {
        for (const std::uint64_t tokens : plan.tokens) {
            coordinator::Job job;
            job.factors = method.factors;
            job.start_tokens = method.start_tokens;
            job.attention_scale = plan.attention_scale_of(method);
            job.positions = tokens;
            job.documents = plan.documents;
            job.columns.resize(plan.documents.size());
            std::iota(job.columns.begin(), job.columns.end(), 0U);
            job.per_token = !plan.per_token.empty();
            jobs.push_back(std::move(job));
        }
    }
    return jobs;
}

/// Scores of one length, a row per method.
std::vector<MethodScores> column(const EvaluationPlan& plan, const std::vector<JobScores>& scores,
                                 std::size_t length) {
    std::vector<MethodScores> methods;
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        methods.push_back({plan.methods[m].name, scores[m * plan.tokens.size() + length].sum_nll});
    }
    return methods;
}

void print_table(const EvaluationPlan& plan, const std::vector<JobScores>& scores) {
    std::cout << fmt::format(
        "Perplexity on {} documents ({}); vectors for {:.0f} tokens, original window {}, attention "
        "scale {:.4f}.\n\n{:<10}",
        plan.documents.size(), plan.split, plan.target_tokens, plan.facts.original_window,
        plan.attention_scale, "method");
    for (const std::uint64_t tokens : plan.tokens) std::cout << fmt::format("{:>12}", tokens);
    std::cout << "\n";
    std::vector<std::size_t> all(plan.documents.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        std::cout << fmt::format("{:<10}", plan.methods[m].name);
        for (std::size_t l = 0; l < plan.tokens.size(); ++l) {
            const JobScores& cell = scores[m * plan.tokens.size() + l];
            std::cout << fmt::format("{:>12.3f}", perplexity({plan.methods[m].name, cell.sum_nll},
                                                             cell.scored_tokens, all));
        }
        std::cout << "\n";
    }
    for (const EvaluatedMethod& method : plan.methods) {
        if (!method.attention_scale) continue;
        std::cout << fmt::format("\n{} has an attention scale of its own: {:.4f}.\n", method.name,
                                 *method.attention_scale);
    }
    const std::size_t last = plan.tokens.size() - 1;
    const std::vector<MethodScores> methods = column(plan, scores, last);
    const std::string reference = reference_of(methods);
    std::cout << fmt::format("\nAt {} tokens, by source", plan.tokens[last]);
    if (!reference.empty()) {
        std::cout << fmt::format("; vs {}: how much higher, paired by document, ± standard error",
                                 reference);
    }
    std::cout << fmt::format(
        ":\n\n{}", score_table_text(methods, plan.titles, scores[last].scored_tokens, reference));
    std::cout.flush();
}

void print_json(const EvaluationPlan& plan, const std::vector<JobScores>& scores) {
    boost::json::array rows;
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        for (std::size_t l = 0; l < plan.tokens.size(); ++l) {
            const JobScores& cell = scores[m * plan.tokens.size() + l];
            boost::json::array documents;
            for (std::size_t d = 0; d < plan.documents.size(); ++d) {
                documents.push_back({{"document", plan.documents[d]},
                                     {"title", plan.titles[d]},
                                     {"sum_nll", cell.sum_nll[d]},
                                     {"scored_tokens", cell.scored_tokens[d]}});
            }
            std::vector<std::size_t> all(plan.documents.size());
            std::iota(all.begin(), all.end(), std::size_t{0});
            rows.push_back({{"method", plan.methods[m].name},
                            {"tokens", plan.tokens[l]},
                            {"perplexity", perplexity({plan.methods[m].name, cell.sum_nll},
                                                      cell.scored_tokens, all)},
                            {"factors", boost::json::value_from(plan.methods[m].factors)},
                            {"start_tokens", plan.methods[m].start_tokens},
                            {"attention_scale", plan.attention_scale_of(plan.methods[m])},
                            {"documents", std::move(documents)}});
        }
    }
    const boost::json::object report{{"split", plan.split},
                                     {"target_tokens", plan.target_tokens},
                                     {"original_window", plan.facts.original_window},
                                     {"attention_scale", plan.attention_scale},
                                     {"model_digest", plan.facts.model_digest},
                                     {"documents_digest", plan.facts.documents_digest},
                                     {"results", std::move(rows)}};
    std::cout << boost::json::serialize(report) << "\n" << std::flush;
}

void save_token_scores(const EvaluationPlan& plan, std::vector<JobScores> scores) {
    std::vector<TokenScoresBlock> blocks;
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        for (std::size_t l = 0; l < plan.tokens.size(); ++l) {
            const EvaluatedMethod& method = plan.methods[m];
            blocks.push_back({method.name, plan.tokens[l], method.factors, method.start_tokens,
                              plan.attention_scale_of(method),
                              std::move(scores[m * plan.tokens.size() + l].token_nll)});
        }
    }
    write_token_scores(plan.per_token, blocks);
}

}  // namespace

ExitCode run_evaluate(Job& job, const Words& words) {
    cxxopts::Options options{
        "longrope evaluate",
        "Perplexity of methods at several lengths, on documents of a split.\nWith a run's "
        "configuration file, its model, documents and searched factors are taken.\nRuns under "
        "mpirun too.\n"};
    options.positional_help("[CONFIG]");
    options.add_options()("CONFIG", "a run's configuration file",
                          cxxopts::value<std::vector<std::string>>());
    options.parse_positional({"CONFIG"});
    add_evaluation_flags(options);
    add_setting_flags(options);
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    const EvaluationPlan plan = plan_evaluation(*parsed);
    const std::string scaling = replaced_scaling(plan.configuration);
    if (!scaling.empty()) fmt::print(stderr, "{}\n", scaling);
    catch_stop_signals();
    protocol::Transport& transport = job.start_workers(
        setup_of(plan.configuration, plan.stage_model), plan.configuration.run.lease_seconds);
    const bool terminal = ::isatty(STDERR_FILENO) != 0;
    const auto scores = coordinator::score_jobs(
        jobs_of(plan), transport,
        {plan.configuration.run.max_faults,
         coordinator::Dispatcher::Seconds{plan.configuration.evaluator.deadline_floor_seconds}},
        [terminal](std::uint64_t scored, std::uint64_t total) {
            if (terminal) fmt::print(stderr, "\r{}/{} documents scored", scored, total);
        },
        requested_stop);
    if (terminal) fmt::print(stderr, "\r{:40}\r", "");
    if (!scores) {
        fmt::print(stderr, "longrope: {}; nothing was printed\n", *requested_stop());
        return ExitCode::stopped_early;
    }
    for (const JobScores& score : *scores) {
        if (!score.failure.empty()) {
            throw coordinator::NoWorkers{
                fmt::format("an evaluation failed for good: {}", score.failure)};
        }
    }
    if (!plan.per_token.empty()) save_token_scores(plan, *scores);
    if (parsed->count("json") > 0) {
        print_json(plan, *scores);
    } else {
        print_table(plan, *scores);
    }
    return ExitCode::done;
}

}  // namespace longrope::cli
