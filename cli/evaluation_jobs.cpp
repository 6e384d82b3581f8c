// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluation_jobs.hpp"

#include <limits>
#include <map>
#include <numeric>
#include <tuple>
#include <utility>

#include "cli/sliding_windows.hpp"

namespace longrope::cli {
namespace {

/// Windows of one place in the documents, alike but for the document they are taken from.
struct Place {
    TextWindow window;
    std::vector<std::uint32_t> columns;  ///< of the documents that have it
};

std::vector<Place> whole_documents(const EvaluationPlan& plan, std::uint64_t positions) {
    Place place{{0, positions, 0}, std::vector<std::uint32_t>(plan.documents.size())};
    std::iota(place.columns.begin(), place.columns.end(), 0U);
    return {place};
}

/// By their place in the document; documents of several lengths end in windows of several lengths.
std::vector<Place> window_places(const EvaluationPlan& plan, std::uint64_t window) {
    std::map<std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>, Place> places;
    for (std::uint32_t column = 0; column < plan.documents.size(); ++column) {
        const SlidingWindow reading{plan.tokens_read(column), plan.facts.begin_with_bos, window,
                                    plan.stride};
        for (const TextWindow& found : sliding_windows(reading)) {
            Place& place = places[{found.offset, found.positions, found.scored}];
            place.window = found;
            place.columns.push_back(column);
        }
    }
    std::vector<Place> sorted;
    sorted.reserve(places.size());
    for (auto& [key, place] : places) sorted.push_back(std::move(place));
    return sorted;
}

}  // namespace

EvaluationJobs jobs_of(const EvaluationPlan& plan) {
    EvaluationJobs work;
    for (std::size_t length = 0; length < plan.tokens.size(); ++length) {
        const std::vector<Place> places = plan.stride == 0
                                              ? whole_documents(plan, plan.tokens[length])
                                              : window_places(plan, plan.tokens[length]);
        for (std::size_t method = 0; method < plan.methods.size(); ++method) {
            for (const Place& place : places) {
                coordinator::Job job;
                job.factors = plan.methods[method].factors;
                job.start_tokens = plan.methods[method].start_tokens;
                job.attention_scale = plan.attention_scale_of(plan.methods[method]);
                job.positions = place.window.positions;
                job.offset = place.window.offset;
                job.scored = place.window.scored;
                job.documents = plan.documents;
                job.columns = place.columns;
                job.per_token = !plan.per_token.empty();
                work.jobs.push_back(std::move(job));
                work.cells.push_back(method * plan.tokens.size() + length);
            }
        }
    }
    return work;
}

namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

/// A document that lacks a window has no sum: that of the others is of another text.
void leave_out(std::uint32_t column, CellScores& cell) {
    cell.sum_nll[column] = none;
    cell.scored_tokens[column] = 0;
    cell.window_means = none;
    if (!cell.token_nll.empty()) cell.token_nll[column].clear();
}

}  // namespace

std::vector<CellScores> cells_of(const EvaluationPlan& plan, const EvaluationJobs& work,
                                 std::vector<coordinator::JobScores> scores) {
    CellScores empty;
    empty.sum_nll.assign(plan.documents.size(), 0.0);
    empty.scored_tokens.assign(plan.documents.size(), 0);
    std::vector<CellScores> cells(plan.methods.size() * plan.tokens.size(), empty);
    for (std::size_t i = 0; i < work.jobs.size(); ++i) {
        CellScores& cell = cells[work.cells[i]];
        for (const std::uint32_t column : work.jobs[i].columns) {
            const double sum = scores[i].sum_nll[column];
            const std::uint64_t tokens = scores[i].scored_tokens[column];
            if (tokens == 0) continue;
            cell.sum_nll[column] += sum;
            cell.scored_tokens[column] += tokens;
            cell.window_means += sum / static_cast<double>(tokens);
        }
        if (work.jobs[i].per_token) cell.token_nll = std::move(scores[i].token_nll);
        if (!cell.failure) cell.failure = std::move(scores[i].failure);
    }
    for (std::size_t i = 0; i < work.jobs.size(); ++i) {
        for (const std::uint32_t column : work.jobs[i].columns) {
            if (scores[i].scored_tokens[column] == 0) leave_out(column, cells[work.cells[i]]);
        }
    }
    for (std::size_t i = 0; i < work.jobs.size(); ++i) {
        CellScores& cell = cells[work.cells[i]];
        for (const std::uint32_t column : work.jobs[i].columns) {
            if (cell.scored_tokens[column] > 0) ++cell.windows;
        }
    }
    return cells;
}

}  // namespace longrope::cli
