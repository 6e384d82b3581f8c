// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluation_report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <numeric>

#include "cli/json_text.hpp"

namespace longrope::cli {
namespace {

std::vector<std::size_t> all_documents(const EvaluationPlan& plan) {
    std::vector<std::size_t> all(plan.documents.size());
    std::iota(all.begin(), all.end(), std::size_t{0});
    return all;
}

MethodScores scores_of(const EvaluationPlan& plan, std::span<const CellScores> cells,
                       std::size_t method, std::size_t length) {
    const CellScores& cell = cells[method * plan.tokens.size() + length];
    MethodScores scores{plan.methods[method].name, cell.sum_nll};
    for (const std::uint64_t tokens : cell.scored_tokens) scores.failed.push_back(tokens == 0);
    return scores;
}

/// Scored tokens of each document at a length. They are those of any method but one that failed.
std::vector<std::uint64_t> tokens_at(const EvaluationPlan& plan, std::span<const CellScores> cells,
                                     std::size_t length) {
    std::vector<std::uint64_t> tokens(plan.documents.size(), 0);
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        const CellScores& cell = cells[m * plan.tokens.size() + length];
        for (std::size_t d = 0; d < tokens.size(); ++d) {
            tokens[d] = std::max(tokens[d], cell.scored_tokens[d]);
        }
    }
    return tokens;
}

/// Scores of one length, a row per method.
std::vector<MethodScores> column(const EvaluationPlan& plan, std::span<const CellScores> cells,
                                 std::size_t length) {
    std::vector<MethodScores> methods;
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        methods.push_back(scores_of(plan, cells, m, length));
    }
    return methods;
}

std::string reading_of(const EvaluationPlan& plan) {
    if (plan.stride == 0) return "the beginning of each read whole";
    const std::string read = plan.read_positions == 0
                                 ? "all of each"
                                 : fmt::format("{} positions of each", plan.read_positions);
    return fmt::format("windows sliding by {} tokens over {}", plan.stride, read);
}

std::string spelled(const CellSummary& cell) {
    if (cell.failed) return "failed";
    if (std::isnan(cell.error)) return fmt::format("{:.3f}", cell.perplexity);
    return fmt::format("{:.3f} ± {:.3f}", cell.perplexity, cell.error);
}

/// A row per method, a column per length.
template <typename Cell>
std::string table(const EvaluationPlan& plan, const EvaluationReport& report, std::size_t width,
                  Cell cell) {
    std::size_t names = 8;
    for (const EvaluatedMethod& method : plan.methods) names = std::max(names, method.name.size());
    std::string text = fmt::format("{:{}}", "method", names + 2);
    for (const std::uint64_t tokens : plan.tokens) text += fmt::format("{:>{}}", tokens, width);
    text += '\n';
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        text += fmt::format("{:{}}", plan.methods[m].name, names + 2);
        for (std::size_t l = 0; l < plan.tokens.size(); ++l) {
            text += fmt::format("{:>{}}", cell(report.cells[m * plan.tokens.size() + l]), width);
        }
        text += '\n';
    }
    return text;
}

/// A number as JSON has it; JSON has none that is not finite.
boost::json::value number(double value) {
    return std::isfinite(value) ? boost::json::value(value) : boost::json::value(nullptr);
}

/// A field of CSV: in quotes where it needs them.
std::string field(const std::string& text) {
    if (text.find_first_of(",\"\n") == std::string::npos) return text;
    std::string quoted = "\"";
    for (const char c : text) quoted += c == '"' ? std::string{"\"\""} : std::string{c};
    return quoted + "\"";
}

std::string csv_number(double value) {
    return std::isnan(value) ? "" : fmt::format("{}", value);
}

}  // namespace

EvaluationReport summarise(const EvaluationPlan& plan, std::span<const CellScores> cells) {
    const std::vector<std::size_t> all = all_documents(plan);
    const std::size_t lengths = plan.tokens.size();
    EvaluationReport report;
    report.reference = reference_of(column(plan, cells, 0));
    std::size_t base = 0;
    while (base + 1 < plan.methods.size() && plan.methods[base].name != report.reference) ++base;
    for (std::size_t m = 0; m < plan.methods.size(); ++m) {
        for (std::size_t l = 0; l < lengths; ++l) {
            const CellScores& cell = cells[m * lengths + l];
            const MethodScores scores = scores_of(plan, cells, m, l);
            CellSummary summary;
            summary.method = scores.name;
            summary.tokens = plan.tokens[l];
            summary.perplexity = perplexity(scores, cell.scored_tokens, all);
            summary.error = perplexity_error(scores, cell.scored_tokens, all);
            summary.window_mean = std::exp(cell.window_means / static_cast<double>(cell.windows));
            summary.difference =
                paired_difference(scores, scores_of(plan, cells, base, l), cell.scored_tokens, all);
            summary.scored_tokens = std::accumulate(cell.scored_tokens.begin(),
                                                    cell.scored_tokens.end(), std::uint64_t{0});
            summary.windows = cell.windows;
            summary.failed = cell.failure.has_value();
            report.cells.push_back(std::move(summary));
        }
    }
    return report;
}

std::string failures_text(const EvaluationPlan& plan, std::span<const CellScores> cells) {
    std::string text;
    const std::string* before = nullptr;  // of the last worker's loss all cells say the same
    for (std::size_t i = 0; i < cells.size(); ++i) {
        if (!cells[i].failure) continue;
        const auto& [column, reason] = *cells[i].failure;
        text += fmt::format("\n  {} at {} tokens, document {} (\"{}\"){}",
                            plan.methods[i / plan.tokens.size()].name,
                            plan.tokens[i % plan.tokens.size()], plan.documents[column],
                            plan.titles[column],
                            before != nullptr && *before == reason ? "" : ": " + reason);
        before = &reason;
    }
    return text;
}

std::string report_text(const EvaluationPlan& plan, const EvaluationReport& report,
                        std::span<const CellScores> cells) {
    constexpr std::size_t with_error = 22;
    constexpr std::size_t without = 12;
    std::string text = fmt::format(
        "Perplexity on {} document{} ({}), {}; vectors for {} tokens{}, original window {}, "
        "attention scale {:.4f}.\n± standard error, from how documents differ.\n\n",
        plan.documents.size(), plan.documents.size() == 1 ? "" : "s", plan.split, reading_of(plan),
        plan.target_tokens,
        plan.target_stage.empty() ? ""
                                  : fmt::format(" (the target of stage \"{}\")", plan.target_stage),
        plan.facts.original_window, plan.attention_scale);
    text += table(plan, report, plan.documents.size() > 1 ? with_error : without, spelled);
    if (plan.stride > 0) {
        text += "\nThe same as a mean over windows, each with equal weight:\n\n";
        text += table(plan, report, without, [](const CellSummary& cell) {
            return cell.failed ? "failed" : fmt::format("{:.3f}", cell.window_mean);
        });
    }
    for (const EvaluatedMethod& method : plan.methods) {
        if (!method.attention_scale) continue;
        text += fmt::format("\n{} has an attention scale of its own: {:.4f}.\n", method.name,
                            *method.attention_scale);
    }
    const std::size_t last = plan.tokens.size() - 1;
    text += fmt::format("\nAt {} tokens, by source", plan.tokens[last]);
    if (!report.reference.empty()) {
        text += fmt::format("; vs {}: how much higher, paired by document, ± standard error",
                            report.reference);
    }
    return text +
           fmt::format(":\n\n{}", score_table_text(column(plan, cells, last), plan.titles,
                                                   tokens_at(plan, cells, last), report.reference));
}

std::string report_json(const EvaluationPlan& plan, const EvaluationReport& report,
                        std::span<const CellScores> cells) {
    boost::json::array rows;
    for (std::size_t i = 0; i < cells.size(); ++i) {
        const CellSummary& summary = report.cells[i];
        const EvaluatedMethod& method = plan.methods[i / plan.tokens.size()];
        boost::json::array documents;
        for (std::size_t d = 0; d < plan.documents.size(); ++d) {
            documents.push_back({{"document", plan.documents[d]},
                                 {"title", plan.titles[d]},
                                 {"sum_nll", number(cells[i].sum_nll[d])},
                                 {"scored_tokens", cells[i].scored_tokens[d]}});
        }
        boost::json::object row{{"method", summary.method},
                                {"tokens", summary.tokens},
                                {"perplexity", number(summary.perplexity)},
                                {"standard_error", number(summary.error)},
                                {"perplexity_window_mean", number(summary.window_mean)},
                                {"windows", summary.windows},
                                {"scored_tokens", summary.scored_tokens},
                                {"factors", boost::json::value_from(method.factors)},
                                {"start_tokens", method.start_tokens},
                                {"attention_scale", plan.attention_scale_of(method)}};
        if (!report.reference.empty()) {
            row["difference"] = {{"to", report.reference},
                                 {"percent", number(summary.difference.percent)},
                                 {"standard_error", number(summary.difference.standard_error)}};
        }
        if (const auto& failure = cells[i].failure) {
            row["failure"] = {{"document", plan.documents[failure->column]},
                              {"title", plan.titles[failure->column]},
                              {"reason", failure->reason}};
        }
        row["documents"] = std::move(documents);
        rows.push_back(std::move(row));
    }
    boost::json::object whole{{"split", plan.split},
                              {"target_tokens", plan.target_tokens},
                              {"original_window", plan.facts.original_window},
                              {"attention_scale", plan.attention_scale},
                              {"model_digest", plan.facts.model_digest},
                              {"documents_digest", plan.facts.documents_digest},
                              {"stride", plan.stride},
                              {"results", std::move(rows)}};
    return json_line(whole);
}

std::string report_csv(const EvaluationPlan& plan, const EvaluationReport& report) {
    std::string text =
        "method,tokens,stride,documents,windows,scored_tokens,perplexity,standard_error,"
        "perplexity_window_mean,reference,difference_percent,difference_standard_error\n";
    for (const CellSummary& cell : report.cells) {
        text += fmt::format(
            "{},{},{},{},{},{},{},{},{},{},{},{}\n", field(cell.method), cell.tokens, plan.stride,
            plan.documents.size(), cell.windows, cell.scored_tokens, csv_number(cell.perplexity),
            csv_number(cell.error), csv_number(cell.window_mean), field(report.reference),
            report.reference.empty() ? "" : csv_number(cell.difference.percent),
            report.reference.empty() ? "" : csv_number(cell.difference.standard_error));
    }
    return text;
}

}  // namespace longrope::cli
