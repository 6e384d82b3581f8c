// SPDX-License-Identifier: Apache-2.0
#include "coordinator/tasks_left.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/run_plan.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

std::uint64_t left(const RunPlan& plan) {
    const StageRun& stage = plan.stages().front();
    return tasks_left(stage.plan(), stage.history());
}

}  // namespace

TEST_CASE("before a search all is left but baselines that are one function") {
    const RunPlan plan{small_configuration(), small_facts(), std::nullopt};
    const StagePlan& stage = plan.stages().front().plan();
    CHECK(left(plan) <= stage.tasks());
    CHECK(left(plan) > stage.tasks() - 3 * stage.baselines.size());
}

TEST_CASE("what is left never grows, never falls short, and ends with the search") {
    RunPlan plan{small_configuration(), small_facts(), std::nullopt};
    DirectRun run{plan};
    std::vector<std::uint64_t> seen{left(plan)};
    while (run.step()) {
        INFO("after ", run.scored(), " scores");
        CHECK(left(plan) < seen.back());
        CHECK(left(plan) >= run.open());
        seen.push_back(left(plan));
    }
    CHECK(seen.back() == 0);
    for (std::size_t after = 0; after < seen.size(); ++after) {
        INFO("after ", after, " scores");
        CHECK(seen[after] >= run.scored() - after);
    }
}

TEST_CASE("raised iterations leave what they add, whatever the earlier end has stored") {
    const RunPlan first = finished_run(small_configuration(1));
    RunPlan more{small_configuration(3), small_facts(), first.snapshot()};
    const std::uint64_t before = left(more);
    DirectRun run{more};
    run.run();
    CHECK(left(more) == 0);
    CHECK(before >= run.scored());
    // Two generations of six on three documents are sure to come, and the final phase at most once.
    const StagePlan& plan = more.stages().front().plan();
    CHECK(before > 2 * 6 * 3);
    CHECK(before <= plan.tasks() - (8 + 6 + plan.baselines.size()) * 3);
}

TEST_CASE("nothing is left of a complete search in which some individuals faulted for good") {
    const RunPlan plan =
        finished_run(small_configuration(), std::nullopt, [](const Job& job, std::uint32_t column) {
            const bool faults = column == 1 && std::fmod(job.factors.back(), 0.05) < 0.01;
            return faults ? std::nullopt : closed_form(job, column);
        });
    const StageRun& stage = plan.stages().front();
    REQUIRE_FALSE(stage.history().failures.empty());
    REQUIRE(stage.scored() < stage.plan().tasks());
    CHECK(left(plan) == 0);
    const RunPlan again{small_configuration(), small_facts(), plan.snapshot()};
    CHECK(left(again) == 0);
}

TEST_CASE("a search that a rule ends leaves nothing, though its iterations are not done") {
    Configuration configuration = small_configuration(9);
    configuration.stages.front().max_evaluations = 20;  // two generations of six after the first
    const RunPlan plan = finished_run(configuration);
    REQUIRE(plan.stages().front().finished());
    CHECK(left(plan) == 0);
    const RunPlan begun{configuration, small_facts(), std::nullopt};
    CHECK(left(begun) <= begun.stages().front().plan().tasks());
    CHECK(begun.stages().front().plan().individuals() == 20);
    configuration.stages.front().max_evaluations = 14;  // fewer than there are already
    const RunPlan fewer{configuration, small_facts(), plan.snapshot()};
    CHECK(left(fewer) == 0);
}
