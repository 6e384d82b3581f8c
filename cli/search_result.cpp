// SPDX-License-Identifier: Apache-2.0
#include "cli/search_result.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "cli/score_report.hpp"
#include "coordinator/final_choice.hpp"
#include "coordinator/score_table.hpp"

namespace longrope::cli {
namespace {

using coordinator::ScoreRow;
using coordinator::ScoreTable;
using coordinator::StageHistory;
using coordinator::Status;

/// The columns of one length.
struct LengthColumns {
    std::uint64_t scored_tokens = 0;
    double weight = 1.0;
    std::size_t first = 0;
    std::size_t count = 0;
};

template <typename Row>
std::vector<LengthColumns> lengths_of(const ScoreTable<Row>& table) {
    std::vector<LengthColumns> lengths;
    for (std::size_t column = 0; column < table.documents.size(); ++column) {
        const std::uint64_t tokens = table.document_tokens[column];
        if (lengths.empty() || lengths.back().scored_tokens != tokens) {
            lengths.push_back({tokens, table.document_weights[column], column, 0});
        }
        ++lengths.back().count;
    }
    return lengths;
}

std::vector<MethodScores> scores_of(const ScoreTable<ScoreRow>& table, std::uint32_t iterations,
                                    const LengthColumns& length) {
    std::vector<MethodScores> methods;
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        if (table.rows[row].iterations != iterations) continue;
        const auto nll =
            coordinator::document_nll_of(table, row).subspan(length.first, length.count);
        methods.push_back({table.rows[row].name, {nll.begin(), nll.end()}});
    }
    return methods;
}

/// What kind of stage it is, for its first line.
std::string kind_text(const StageHistory& stage) {
    if (stage.base.stage.empty()) return "";
    return fmt::format(", {} stage \"{}\"",
                       stage.kind == "recovery" ? "a recovery after" : "on the result of",
                       stage.base.stage);
}

std::string heldout_text(const StageHistory& stage, const LengthColumns& length) {
    const std::vector<MethodScores> methods =
        scores_of(stage.heldout, stage.best.iterations, length);
    if (methods.empty()) return "";
    const auto part = [&length](const auto& column) {
        return std::span{column}.subspan(length.first, length.count);
    };
    const std::string reference = reference_of(methods);
    std::string text = fmt::format(
        "\nHeld-out perplexity at {} tokens, on documents that nothing was chosen by:\n\n{}"
        "\n(documents)",
        length.scored_tokens + 1,
        score_table_text(methods, part(stage.heldout.document_titles),
                         part(stage.heldout.document_tokens), reference));
    if (reference.empty()) return text + ".\n";
    return text + fmt::format("; vs {}: how much higher, paired by document, ± standard error.\n",
                              reference);
}

/// The individual that was chosen, and with how many start tokens: those of a sweep were scored on
/// the validation documents alone.
std::string best_text(const StageHistory& stage) {
    const coordinator::BestRecord& best = stage.best;
    const std::uint32_t bred =
        stage.evaluations.rows.at(static_cast<std::size_t>(best.individual)).start_tokens;
    std::string text = fmt::format(
        "individual {}, {} start tokens, perplexity {:.3f} on the search "
        "documents",
        best.individual, bred, best.perplexity);
    for (const ScoreRow& row : stage.start_token_sweep.rows) {
        if (best.start_tokens == bred || row.iterations != best.iterations ||
            row.start_tokens != best.start_tokens) {
            continue;
        }
        text += fmt::format(
            "; with {} start tokens {:.3f} on the validation documents, and with "
            "these it is the result",
            best.start_tokens, row.perplexity);
    }
    return text;
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
    if (!best) {
        return stage.validation.documents.empty() ? "No validation documents were given: nothing "
                                                    "but the search documents chose it.\n"
                                                  : "";
    }
    std::string text = fmt::format(
        "Chosen on {} validation documents among the best of the search: {}, perplexity {:.3f}",
        lengths_of(stage.validation).front().count, best->name, best->perplexity);
    const auto choice = coordinator::final_choice(stage, stage.best.iterations);
    for (const coordinator::FinalChoice& earlier : coordinator::earlier_choices(stage)) {
        if (!choice || earlier.mean_nll >= choice->mean_nll) continue;
        text += fmt::format(
            "; individual {}, which was chosen after {} iterations, has {:.3f} (export "
            "--individual {})",
            earlier.individual, earlier.iterations, earlier.perplexity, earlier.individual);
    }
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
        "\nStage \"{}\"{}: {:.0f} to {:.0f} tokens, attention scale {:.4f} for all rows.\n"
        "Searched factors: {}.\n",
        stage.name, kind_text(stage), stage.original_window, stage.target_tokens,
        stage.attention_scale, best_text(stage));
    const std::vector<LengthColumns> lengths = lengths_of(stage.evaluations);
    if (lengths.size() > 1) {
        text += "The objective weighs log-perplexities:";
        for (const LengthColumns& length : lengths) {
            text += fmt::format("{} {:.4g} at {} tokens", &length == &lengths.front() ? "" : ",",
                                length.weight, length.scored_tokens + 1);
        }
        text += ".\n";
    }
    text += validation_text(stage);
    std::string tables;
    for (const LengthColumns& length : lengths_of(stage.heldout)) {
        tables += heldout_text(stage, length);
    }
    return text + (tables.empty() ? "No held-out documents were given.\n" : tables);
}

}  // namespace longrope::cli
