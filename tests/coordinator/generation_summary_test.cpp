// SPDX-License-Identifier: Apache-2.0
#include "coordinator/generation_summary.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace longrope::coordinator {
namespace {

EvaluationRow scored(double mean_nll, std::int64_t finished) {
    EvaluationRow row;
    row.status = Status::done;
    row.mean_nll = mean_nll;
    row.perplexity = std::exp(mean_nll);
    row.finished = finished;
    return row;
}

EvaluationRow with(Status status) {
    EvaluationRow row;
    row.status = status;
    return row;
}

TEST_CASE("a generation counts its individuals, and its best is that of all up to it") {
    const std::vector<EvaluationRow> rows{scored(2.0, 5),  scored(1.0, 9),        scored(3.0, 7),
                                          scored(4.0, 20), with(Status::skipped), scored(0.5, 30)};
    const auto first = generation_summary(rows, 0, 0, 2);
    REQUIRE(first);
    CHECK(first->generation == 0);
    CHECK(first->evaluated == 3);
    CHECK(first->best_individual == 1);
    CHECK(first->best_mean_nll == 1.0);
    CHECK(first->best_perplexity == std::exp(1.0));
    CHECK(first->mean_perplexity ==
          doctest::Approx((std::exp(1.0) + std::exp(2.0) + std::exp(3.0)) / 3));
    CHECK(first->finished == 9);
    const auto second = generation_summary(rows, 1, 3, 4);
    REQUIRE(second);
    CHECK(second->evaluated == 1);
    CHECK(second->skipped == 1);
    CHECK(second->best_individual == 1);  // not 5, which is of a later generation
    CHECK(second->finished == 20);
}

TEST_CASE("there is no summary before every individual has a status") {
    std::vector<EvaluationRow> rows{scored(2.0, 5), with(Status::pending)};
    CHECK_FALSE(generation_summary(rows, 0, 0, 1));
    CHECK_FALSE(generation_summary(rows, 0, 0, 2));  // not bred yet
    rows[1] = with(Status::failed);
    CHECK(generation_summary(rows, 0, 0, 1)->failed == 1);
}

TEST_CASE("of equals the first is the best; where nothing has a score there is none") {
    const std::vector<EvaluationRow> equals{scored(1.0, 1), scored(1.0, 2)};
    CHECK(generation_summary(equals, 0, 0, 1)->best_individual == 0);
    const std::vector<EvaluationRow> failed{with(Status::failed)};
    const auto summary = generation_summary(failed, 0, 0, 0);
    REQUIRE(summary);
    CHECK(summary->best_individual == -1);
    CHECK(summary->best_mean_nll == std::numeric_limits<double>::infinity());
    CHECK(std::isnan(summary->mean_perplexity));
}

}  // namespace
}  // namespace longrope::coordinator
