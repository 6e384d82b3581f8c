// SPDX-License-Identifier: Apache-2.0
#include "cli/search_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "cli/score_report.hpp"
#include "coordinator/score_table.hpp"

namespace longrope::cli {
namespace {

using coordinator::ScoreRow;
using coordinator::ScoreTable;
using coordinator::StageHistory;
using coordinator::Status;

std::vector<MethodScores> scores_of(const ScoreTable<ScoreRow>& table, std::uint32_t iterations) {
    std::vector<MethodScores> methods;
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        if (table.rows[row].iterations != iterations) continue;
        const auto nll = coordinator::document_nll_of(table, row);
        methods.push_back({table.rows[row].name, {nll.begin(), nll.end()}});
    }
    return methods;
}

/// The sentence that says whether a baseline was better on the validation documents.
std::string validation_text(const StageHistory& stage) {
    const ScoreRow* best = nullptr;
    const ScoreRow* baseline = nullptr;
    for (const ScoreRow& row : stage.validation.rows) {
        if (row.iterations != stage.best.iterations || row.status != Status::done) continue;
        const ScoreRow*& lowest = row.individual < 0 ? baseline : best;
        if (!lowest || row.mean_nll < lowest->mean_nll) lowest = &row;
    }
    if (!best) return "";
    std::string text = fmt::format(
        "Chosen on {} validation documents among the best of the search: {}, perplexity {:.3f}",
        stage.validation.documents.size(), best->name, best->perplexity);
    if (baseline && baseline->mean_nll <= best->mean_nll) {
        return text + fmt::format(
                          ".\nWARNING: the baseline {} is better there ({:.3f}): the search "
                          "found nothing that it can be shown to gain from.\n",
                          baseline->name, baseline->perplexity);
    }
    if (baseline) {
        text += fmt::format("; the best baseline there, {}, has {:.3f}", baseline->name,
                            baseline->perplexity);
    }
    return text + ".\n";
}

}  // namespace

std::string stage_result_text(const StageHistory& stage) {
    std::string text = fmt::format(
        "\nStage \"{}\": {:.0f} to {:.0f} tokens, attention scale {:.4f} for all rows.\n"
        "Searched factors: individual {}, {} start tokens, perplexity {:.3f} on the search "
        "documents.\n",
        stage.name, stage.original_window, stage.target_tokens, stage.attention_scale,
        stage.best.individual, stage.best.start_tokens, stage.best.perplexity);
    text += validation_text(stage);
    const std::vector<MethodScores> methods = scores_of(stage.heldout, stage.best.iterations);
    if (methods.empty()) return text + "No held-out documents were given.\n";
    text += fmt::format(
        "\nHeld-out perplexity at {:.0f} tokens, on documents that nothing was chosen by:\n\n{}"
        "\n(documents); vs yarn: how much higher, paired by document, ± standard error.\n",
        stage.target_tokens,
        score_table_text(methods, stage.heldout.document_titles, stage.heldout.document_tokens,
                         "yarn"));
    return text;
}

}  // namespace longrope::cli
