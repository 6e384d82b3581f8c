// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluation_file.hpp"

#include <cstddef>
#include <string>
#include <vector>

#include "cli/version.hpp"
#include "coordinator/atomic_file.hpp"
#include "coordinator/file_image.hpp"
#include "coordinator/group_writer.hpp"
#include "storage/hdf5_error.hpp"

namespace longrope::cli {
namespace {

using coordinator::GroupWriter;

// Raised with every change of layout; evaluation_format.md.
constexpr std::uint32_t format_version = 1;

/// One value of every cell, in the order methods x lengths.
template <typename Value>
std::vector<double> of_cells(const EvaluationReport& report, Value value) {
    std::vector<double> values;
    for (const CellSummary& cell : report.cells) values.push_back(value(cell));
    return values;
}

void write_methods(const GroupWriter& root, const EvaluationPlan& plan) {
    std::vector<std::string> names;
    std::vector<double> factors;
    std::vector<double> scales;
    std::vector<std::uint32_t> start_tokens;
    for (const EvaluatedMethod& method : plan.methods) {
        names.push_back(method.name);
        factors.insert(factors.end(), method.factors.begin(), method.factors.end());
        scales.push_back(plan.attention_scale_of(method));
        start_tokens.push_back(method.start_tokens);
    }
    const hsize_t methods = plan.methods.size();
    root.dataset("method", names, {"", "method", "rows of the table"});
    root.dataset("factors", {methods, plan.facts.rotary_pairs}, factors,
                 {"1", "rescale factor", "lambda of each rotary frequency, fastest first"});
    root.dataset("attention_scale", {methods}, scales,
                 {"1", "attention scale", "multiplies cosine and sine"});
    root.dataset("start_tokens", {methods}, start_tokens,
                 {"token", "start tokens", "positions below keep the original angles"});
}

void write_cells(const GroupWriter& root, const EvaluationPlan& plan,
                 const EvaluationReport& report) {
    const std::vector<hsize_t> shape{plan.methods.size(), plan.tokens.size()};
    root.dataset("perplexity", shape,
                 of_cells(report, [](const CellSummary& cell) { return cell.perplexity; }),
                 {"1", "perplexity", "weighted by tokens, over all documents"});
    root.dataset("standard_error", shape,
                 of_cells(report, [](const CellSummary& cell) { return cell.error; }),
                 {"1", "standard error of the perplexity",
                  "from how documents differ; NaN for one document"});
    root.dataset("perplexity_window_mean", shape,
                 of_cells(report, [](const CellSummary& cell) { return cell.window_mean; }),
                 {"1", "perplexity of the mean over windows",
                  "exp of the mean over windows of their mean negative log-likelihood"});
    if (report.reference.empty()) return;
    root.dataset("difference_percent", shape,
                 of_cells(report, [](const CellSummary& cell) { return cell.difference.percent; }),
                 {"%", "difference to the reference method",
                  "how much higher the perplexity is, paired by document"});
    root.dataset(
        "difference_standard_error", shape,
        of_cells(report, [](const CellSummary& cell) { return cell.difference.standard_error; }),
        {"%", "standard error of the difference", "NaN for one document"});
}

void write_documents(const GroupWriter& root, const EvaluationPlan& plan,
                     std::span<const CellScores> cells) {
    std::vector<double> sums;
    std::vector<std::uint64_t> scored;
    for (const CellScores& cell : cells) {
        sums.insert(sums.end(), cell.sum_nll.begin(), cell.sum_nll.end());
        scored.insert(scored.end(), cell.scored_tokens.begin(), cell.scored_tokens.end());
    }
    const hsize_t documents = plan.documents.size();
    const std::vector<hsize_t> shape{plan.methods.size(), plan.tokens.size(), documents};
    root.dataset("document_nll", shape, sums,
                 {"nat", "negative log-likelihood", "sum over the document's scored tokens"});
    root.dataset("document_tokens", shape, scored, {"token", "scored tokens", "of each document"});
    root.dataset("document_index", {documents}, plan.documents,
                 {"1", "document", "its number in the documents' file"});
    root.dataset("document_title", plan.titles, {"", "title", "of each document"});
}

}  // namespace

void write_evaluation_file(const std::filesystem::path& file, const EvaluationPlan& plan,
                           const EvaluationReport& report, std::span<const CellScores> cells) {
    const storage::QuietHdf5 quiet;  // the message says it
    const std::vector<std::byte> image = coordinator::build_file_image([&](hid_t out) {
        const GroupWriter root{out};
        root.attribute("format", std::string{"longrope-evaluation"});
        root.attribute("format_version", format_version);
        root.attribute("program_version", std::string{program_version()});
        root.attribute("program_commit", std::string{program_commit()});
        root.attribute("model_digest", plan.facts.model_digest);
        root.attribute("documents_digest", plan.facts.documents_digest);
        root.attribute("split", plan.split);
        root.attribute("original_window", plan.facts.original_window);
        root.attribute("target_tokens", static_cast<double>(plan.target_tokens));
        root.attribute("stride", plan.stride);
        root.attribute("read_positions", plan.read_positions);
        root.attribute("reference", report.reference);
        root.dataset("tokens", {plan.tokens.size()}, plan.tokens,
                     {"token", "length", "columns of the table: length, or sliding window"});
        write_methods(root, plan);
        write_cells(root, plan, report);
        write_documents(root, plan, cells);
    });
    coordinator::write_file_atomically(file, image);
}

}  // namespace longrope::cli
