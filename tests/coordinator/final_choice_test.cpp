// SPDX-License-Identifier: Apache-2.0
#include "coordinator/final_choice.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

ScoreRow validated(std::uint32_t iterations, std::int32_t individual, double mean_nll,
                   std::uint32_t start_tokens = 0) {
    ScoreRow row;
    row.iterations = iterations;
    row.individual = individual;
    row.start_tokens = start_tokens;
    row.mean_nll = mean_nll;
    row.perplexity = std::exp(mean_nll);
    row.status = Status::done;
    return row;
}

/// Two ends of a search: after 3 iterations, and now after 5.
StageHistory twice_validated() {
    StageHistory stage;
    stage.best.iterations = 5;
    stage.validation.rows = {validated(3, -1, 0.5), validated(3, 4, 3.0), validated(3, 2, 2.0),
                             validated(3, 7, 2.0),  validated(5, 4, 2.5), validated(5, 9, 2.25)};
    stage.start_token_sweep.rows = {validated(3, 2, 1.5, 8), validated(3, 2, 1.75, 16),
                                    validated(5, 9, 2.25, 8)};
    return stage;
}

}  // namespace

TEST_CASE("the choice is the lowest of the individuals, the sweep's start tokens among them") {
    const StageHistory stage = twice_validated();
    const auto then = final_choice(stage, 3);
    REQUIRE(then);
    CHECK(then->individual == 2);
    CHECK(then->start_tokens == 8);
    CHECK(then->mean_nll == 1.5);
    const auto now = final_choice(stage, 5);
    REQUIRE(now);
    CHECK(now->individual == 9);
    CHECK(now->start_tokens == 0);  // as good with 8: it keeps its own
    CHECK_FALSE(final_choice(stage, 4));
}

TEST_CASE("earlier choices are those of fewer iterations whose validation ended") {
    StageHistory stage = twice_validated();
    const auto choices = earlier_choices(stage);
    REQUIRE(choices.size() == 1);
    CHECK(choices.front().iterations == 3);
    CHECK(choices.front().individual == 2);
    stage.validation.rows[1].status = Status::pending;
    CHECK(earlier_choices(stage).empty());
    stage.validation.rows[1].status = Status::failed;
    CHECK(earlier_choices(stage).size() == 1);
    stage.start_token_sweep.rows[1].status = Status::pending;
    CHECK(earlier_choices(stage).empty());
    stage.best.iterations = 3;
    CHECK(earlier_choices(stage).empty());
}

TEST_CASE("what a search chose is told while it goes on with more iterations") {
    Configuration configuration = small_configuration();
    const RunPlan before = finished_run(configuration);
    const BestRecord chosen = before.stages().front().history().best;
    configuration.stages.front().iterations += 2;
    RunPlan plan{configuration, small_facts(), before.snapshot()};
    DirectRun{plan}.run(1);
    const StageHistory& stage = plan.stages().front().history();
    CHECK(stage.best.chosen_by == "search");
    const auto choices = earlier_choices(stage);
    REQUIRE(choices.size() == 1);
    CHECK(choices.front().iterations == chosen.iterations);
    CHECK(static_cast<std::int32_t>(choices.front().individual) == chosen.individual);
    CHECK(choices.front().start_tokens == chosen.start_tokens);
}
