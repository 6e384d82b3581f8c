// SPDX-License-Identifier: Apache-2.0
#include "cli/evaluation_jobs.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using namespace longrope;
using namespace longrope::cli;

TEST_CASE("a document that lacks a window is left out, and the windows of it that were scored") {
    EvaluationPlan plan;
    plan.methods.resize(1);
    plan.tokens = {256};
    plan.documents = {4, 7};
    EvaluationJobs work;
    std::vector<coordinator::JobScores> scores;
    // Two windows: the second of the first document could not be scored.
    for (const bool fails : {false, true}) {
        coordinator::Job job;
        job.documents = plan.documents;
        job.columns = {0, 1};
        work.jobs.push_back(job);
        work.cells.push_back(0);
        coordinator::JobScores window;
        window.sum_nll = {200.0, 300.0};
        window.scored_tokens = {100, 100};
        if (fails) {
            window.sum_nll[0] = std::numeric_limits<double>::quiet_NaN();
            window.scored_tokens[0] = 0;
            window.failure = {0, "out of memory"};
        }
        scores.push_back(window);
    }
    const std::vector<CellScores> cells = cells_of(plan, work, scores);
    REQUIRE(cells.size() == 1);
    const CellScores& cell = cells.front();
    CHECK(std::isnan(cell.sum_nll[0]));
    CHECK(cell.sum_nll[1] == 600.0);
    CHECK(cell.scored_tokens == std::vector<std::uint64_t>{0, 200});
    CHECK(cell.windows == 2);
    CHECK(std::isnan(cell.window_means));
    REQUIRE(cell.failure.has_value());
    CHECK(cell.failure->reason == "out of memory");

    scores[1] = scores[0];
    const CellScores whole = cells_of(plan, work, scores).front();
    CHECK(whole.scored_tokens == std::vector<std::uint64_t>{200, 200});
    CHECK(whole.windows == 4);
    CHECK(whole.window_means == 2.0 + 3.0 + 2.0 + 3.0);
    CHECK_FALSE(whole.failure.has_value());
}
