// SPDX-License-Identifier: Apache-2.0
#include "coordinator/generation_summary.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longrope::coordinator {

std::optional<GenerationRow> generation_summary(std::span<const EvaluationRow> rows,
                                                std::uint32_t generation, std::uint32_t first,
                                                std::uint32_t last) {
    if (last >= rows.size()) return std::nullopt;
    GenerationRow summary;
    summary.generation = generation;
    double perplexities = 0.0;
    for (const EvaluationRow& row : rows.subspan(first, last - first + 1)) {
        if (row.status == Status::pending) return std::nullopt;
        summary.evaluated += row.status == Status::done ? 1U : 0U;
        summary.failed += row.status == Status::failed ? 1U : 0U;
        summary.skipped += row.status == Status::skipped ? 1U : 0U;
        if (row.status == Status::done) perplexities += row.perplexity;
        summary.finished = std::max(summary.finished, row.finished);
    }
    summary.best_mean_nll = std::numeric_limits<double>::infinity();
    for (std::uint32_t i = 0; i <= last; ++i) {
        if (rows[i].status != Status::done || rows[i].mean_nll >= summary.best_mean_nll) continue;
        summary.best_individual = static_cast<std::int32_t>(i);
        summary.best_mean_nll = rows[i].mean_nll;
    }
    summary.best_perplexity = std::exp(summary.best_mean_nll);
    summary.mean_perplexity = perplexities / summary.evaluated;  // NaN if none is done
    return summary;
}

}  // namespace longrope::coordinator
