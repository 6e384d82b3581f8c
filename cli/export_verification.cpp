// SPDX-License-Identifier: Apache-2.0
#include "cli/export_verification.hpp"

#include <fmt/format.h>

#include <cmath>
#include <numeric>
#include <span>
#include <stdexcept>
#include <utility>

#include "cli/score_report.hpp"
#include "coordinator/coordinate.hpp"

namespace longrope::cli {
namespace {

// What a decimal number loses in the parsers that read it.
constexpr double reading_error = 1e-12;

bool is_same(double written, double read) {
    return std::abs(read - written) <= reading_error * std::abs(written);
}

void require_same(const char* list, std::span<const double> written, std::span<const double> read) {
    if (written.size() != read.size()) {
        throw std::runtime_error{fmt::format("the {} reads back with {} factors, written were {}",
                                             list, read.size(), written.size())};
    }
    for (std::size_t i = 0; i < written.size(); ++i) {
        if (is_same(written[i], read[i])) continue;
        throw std::runtime_error{
            fmt::format("the {} reads back differently: factor {} is {}, {} "
                        "was written",
                        list, i, read[i], written[i])};
    }
}

coordinator::Job job_of(std::vector<double> factors, double attention_scale,
                        std::uint32_t start_tokens, std::uint64_t tokens,
                        const std::vector<std::uint32_t>& documents) {
    coordinator::Job job;
    job.factors = std::move(factors);
    job.start_tokens = start_tokens;
    job.attention_scale = attention_scale;
    job.positions = tokens;
    job.documents = documents;
    job.columns.resize(documents.size());
    std::iota(job.columns.begin(), job.columns.end(), 0U);
    return job;
}

std::vector<std::size_t> first_of(std::size_t documents) {
    std::vector<std::size_t> numbers(documents);
    std::iota(numbers.begin(), numbers.end(), std::size_t{0});
    return numbers;
}

/// The stored perplexity on the first `documents` of a list's documents.
std::optional<double> stored_perplexity(const FactorList& list, std::size_t documents) {
    if (!list.score) return std::nullopt;
    return perplexity({list.origin, list.score->nll}, list.score->scored_tokens,
                      first_of(documents));
}

void add_list(std::vector<ExportedRow>& rows, const char* name, const FactorList& list,
              std::uint32_t dropped, coordinator::Job reloaded, double attention_scale) {
    const auto stored = stored_perplexity(list, reloaded.documents.size());
    const std::string on = list.score ? list.score->documents_of : "";
    if (dropped > 0) {
        ExportedRow searched{
            fmt::format("{}, {} start tokens", name, dropped), reloaded.positions,
            job_of(list.factors, attention_scale, dropped, reloaded.positions, reloaded.documents),
            stored, on};
        rows.push_back(std::move(searched));
    }
    // Without its start tokens it is another function: nothing stored to compare with.
    const std::uint64_t positions = reloaded.positions;
    ExportedRow row{dropped > 0 ? fmt::format("{}, none", name) : name, positions,
                    std::move(reloaded), dropped > 0 ? std::nullopt : stored, on};
    rows.push_back(std::move(row));
}

}  // namespace

bool ExportedRow::differs() const {
    // Written so that a perplexity that is not a number differs.
    return stored && !(std::abs(perplexity - *stored) <= largest_difference * *stored);
}

void require_same_lists(const ExportPlan& plan, const ReloadedRope& reloaded) {
    const RopeExport& rope = plan.rope;
    require_same("long list", rope.long_list.factors, reloaded.long_factors);
    if (rope.is_one_list() && !reloaded.short_factors.empty()) {
        throw std::runtime_error{"a short list is read back, none was written"};
    }
    if (!reloaded.short_factors.empty()) {
        require_same("short list", rope.short_list.factors, reloaded.short_factors);
    }
    for (const double scale : {reloaded.long_attention_scale, reloaded.short_attention_scale}) {
        // An engine may come to it by itself, to the last digits.
        if (std::abs(scale - rope.attention_scale) <= 1e-9 * rope.attention_scale) continue;
        throw std::runtime_error{fmt::format("the attention scale reads back as {}, {} was written",
                                             scale, rope.attention_scale)};
    }
    if (reloaded.start_tokens != rope.long_list.start_tokens) {
        throw std::runtime_error{fmt::format("{} start tokens are read back, {} were written",
                                             reloaded.start_tokens, rope.long_list.start_tokens)};
    }
}

std::vector<ExportedRow> rows_of(const ExportPlan& plan, const ReloadedRope& reloaded) {
    std::vector<ExportedRow> rows;
    if (plan.long_documents.empty()) return rows;
    const RopeExport& rope = plan.rope;
    add_list(rows, rope.is_one_list() ? "list" : "long list", rope.long_list, plan.dropped_long,
             job_of(reloaded.long_factors, reloaded.long_attention_scale, reloaded.start_tokens,
                    rope.target_tokens(), plan.long_documents),
             rope.attention_scale);
    if (rope.is_one_list()) return rows;
    if (!reloaded.short_factors.empty()) {
        add_list(rows, "short list", rope.short_list, plan.dropped_short,
                 job_of(reloaded.short_factors, reloaded.short_attention_scale, 0,
                        plan.short_tokens, plan.short_documents),
                 rope.attention_scale);
    }
    // What an engine that serves long texts uses for short ones too.
    rows.push_back({"long list", plan.short_tokens,
                    job_of(reloaded.long_factors, reloaded.long_attention_scale,
                           reloaded.start_tokens, plan.short_tokens, plan.short_documents),
                    std::nullopt, ""});
    return rows;
}

void enter_scores(std::vector<ExportedRow>& rows,
                  const std::vector<coordinator::JobScores>& scores) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
        if (const auto& failure = scores[i].failure) {
            throw coordinator::NoWorkers{fmt::format(
                "the {} cannot be scored at {} tokens on document {}: {}", rows[i].list,
                rows[i].tokens, rows[i].job.documents[failure->column], failure->reason)};
        }
        rows[i].perplexity = perplexity({rows[i].list, scores[i].sum_nll}, scores[i].scored_tokens,
                                        first_of(scores[i].sum_nll.size()));
    }
}

}  // namespace longrope::cli
