// SPDX-License-Identifier: Apache-2.0
#include "cli/export_command.hpp"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>
#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cli/export_files.hpp"
#include "cli/export_plan.hpp"
#include "cli/export_verification.hpp"
#include "cli/history_argument.hpp"
#include "cli/json_text.hpp"
#include "cli/output_files.hpp"
#include "cli/rank_scores.hpp"
#include "cli/standard_error.hpp"
#include "cli/stop_signals.hpp"
#include "cli/unfinished_export.hpp"

namespace longrope::cli {
namespace {

std::string list_text(const FactorList& list, const char* engines) {
    return fmt::format("  {}: {} factors, {:.6g} to {:.6g} ({})\n", engines, list.factors.size(),
                       list.factors.front(), list.factors.back(), list.origin);
}

std::string report_text(const ExportPlan& plan, const std::string& written,
                        const std::vector<ExportedRow>& rows) {
    const RopeExport& rope = plan.rope;
    std::string text = fmt::format(
        "Wrote {}\n  {}{} tokens, attention scale {:.6f}{}\n", written,
        rope.is_one_list() ? "" : fmt::format("{} to ", rope.original_window), rope.target_tokens(),
        rope.attention_scale, plan.format == ExportFormat::csv ? " (not in the file)" : "");
    text += list_text(rope.long_list, rope.is_one_list() ? "list" : "long list");
    if (plan.format != ExportFormat::csv && !rope.is_one_list()) {
        text += list_text(rope.short_list, "short list");
    }
    if (rows.empty()) return text + "Read back as written; not scored.\n";
    std::size_t width = 10;
    for (const ExportedRow& row : rows) width = std::max(width, row.list.size());
    text += fmt::format("\nReloaded, on {} document{}:\n\n{:{}}{:>10}{:>12}{:>12}{:>14}\n",
                        plan.long_documents.size(), plan.long_documents.size() == 1 ? "" : "s", "",
                        width, "tokens", "perplexity", "stored", "difference");
    for (const ExportedRow& row : rows) {
        text += fmt::format("{:{}}{:>10}{:>12.4f}", row.list, width, row.tokens, row.perplexity);
        if (row.stored) {
            text += fmt::format("{:>12.4f}{:>14.1e}  {}", *row.stored,
                                std::abs(row.perplexity / *row.stored - 1.0), row.stored_on);
        }
        text += '\n';
    }
    return text;
}

std::string report_json(const ExportPlan& plan, const std::vector<ExportedRow>& rows) {
    const auto number = [](double value) {
        return std::isfinite(value) ? boost::json::value(value) : boost::json::value(nullptr);
    };
    boost::json::array scores;
    for (const ExportedRow& row : rows) {
        scores.push_back(
            {{"list", row.list},
             {"tokens", row.tokens},
             {"start_tokens", row.job.start_tokens},
             {"documents", boost::json::value_from(row.job.documents)},
             {"perplexity", number(row.perplexity)},
             {"stored", row.stored ? number(*row.stored) : boost::json::value(nullptr)},
             {"stored_on", row.stored_on}});
    }
    const RopeExport& rope = plan.rope;
    const boost::json::object report{
        {"output", plan.output.string()},
        {"original_window", rope.original_window},
        {"target_tokens", rope.target_tokens()},
        {"attention_scale", rope.attention_scale},
        {"long_origin", rope.long_list.origin},
        {"short_origin", rope.short_list.origin},
        {"dropped_start_tokens", {plan.dropped_long, plan.dropped_short}},
        {"scores", std::move(scores)}};
    return json_line(report);
}

/// @throws std::runtime_error for the first row that is not finite, or differs from what is stored
void require_stored_scores(const ExportPlan& plan, const std::vector<ExportedRow>& rows) {
    for (const ExportedRow& row : rows) {
        if (!std::isfinite(row.perplexity)) {
            throw std::runtime_error{fmt::format(
                "{}: the {} has perplexity {} at {} tokens: its weights or factors give no finite "
                "loss. It stays there; longrope evaluate says which documents",
                plan.output.string(), row.list, row.perplexity, row.tokens)};
        }
        if (!row.differs()) continue;
        throw std::runtime_error{fmt::format(
            "{}: the {} has perplexity {:.8g} at {} tokens on the {} documents, and the history "
            "{:.8g}: they differ by more than {:.0e}. It stays there; check that the model is the "
            "one of the search (digest {}), and that the numbers are computed alike (backend, isa, "
            "precision)",
            plan.output.string(), row.list, row.perplexity, row.tokens, row.stored_on,
            row.stored.value(), largest_difference, plan.rope.model_digest)};
    }
}

/// A folder is written anew, where nothing is; a file must not be one that is read.
void check_output(const ExportPlan& plan, const cxxopts::ParseResult& parsed) {
    if (plan.format == ExportFormat::hugging_face) return;
    std::vector<NamedFile> inputs = files_of(plan.configuration);
    for (const char* flag : {"factors", "short-factors"}) {
        if (parsed.count(flag) == 0) continue;
        const auto file = parsed[flag].as<std::string>();
        inputs.push_back({fmt::format("--{} {}", flag, file), file});
    }
    if (parsed.count("RUN") > 0) {
        const std::string word = positional(parsed, "RUN", "export");
        if (is_configuration_word(word)) {
            inputs.push_back({fmt::format("the configuration {}", word), word});
        }
        for (NamedFile& file : files_of_run(history_argument(word, parsed))) {
            inputs.push_back(std::move(file));
        }
    }
    check_output_files({{fmt::format("--output {}", plan.output.string()), plan.output}}, inputs,
                       plan.replace);
}

}  // namespace

ExitCode run_export(Job& job, const Words& words) {
    cxxopts::Options options{
        "longrope export",
        "Writes searched or imported factors as inference engines load them, reads them back and\n"
        "compares their perplexity with the stored one; exit status 1 if it differs.\nRuns under "
        "mpirun too.\n"};
    add_export_flags(options);
    add_setting_flags(options, {"run-directory", "backend", "threads", "weights", "isa",
                                "precision", "attention-scale", "stage"});
    const auto parsed = parse(options, words);
    if (!parsed) return ExitCode::done;
    const ExportPlan plan = plan_export(*parsed);
    check_output(plan, *parsed);
    catch_stop_signals();
    UnfinishedExport unfinished{plan.output};
    if (plan.format == ExportFormat::hugging_face) unfinished.make_folder();
    const std::string written = write_export(plan);
    unfinished.own();
    if (const auto stopped = requested_stop()) {
        print_error("longrope: {}; nothing was exported\n", *stopped);
        return ExitCode::stopped_early;
    }
    const ReloadedRope reloaded = reload_export(plan);
    require_same_lists(plan, reloaded);
    std::vector<ExportedRow> rows = rows_of(plan, reloaded);
    if (!rows.empty()) {
        coordinator::Configuration configuration = plan.configuration;
        std::string stage_model = plan.stage_model;
        if (plan.format == ExportFormat::hugging_face) {
            configuration.model.path = plan.output.string();
            stage_model.clear();
        }
        std::vector<coordinator::Job> jobs;
        for (const ExportedRow& row : rows) jobs.push_back(row.job);
        const auto scores = score_on_ranks(job, configuration, stage_model, jobs);
        if (!scores) return ExitCode::stopped_early;
        enter_scores(rows, *scores);
    }
    unfinished.keep();
    std::cout << (parsed->count("json") > 0 ? report_json(plan, rows)
                                            : report_text(plan, written, rows))
              << std::flush;
    require_stored_scores(plan, rows);
    return ExitCode::done;
}

}  // namespace longrope::cli
