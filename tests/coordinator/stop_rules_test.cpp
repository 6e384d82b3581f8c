// SPDX-License-Identifier: Apache-2.0
// Settings that end the evolution of a stage before its iterations are done.
#include <doctest/doctest.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "coordinator/stage_run.hpp"
#include "coordinator/verification.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

Configuration with_rule(const std::function<void(StageSettings&)>& set,
                        std::uint32_t iterations = 12) {
    Configuration configuration = small_configuration(iterations);
    set(configuration.stages[0]);
    return configuration;
}

/// The stage as a search without rules and with this number of iterations finds it, but for what
/// ended it.
std::string plain_digest(std::uint32_t iterations, const std::string& ended_by,
                         double budget_gpu_hours = 0.0) {
    StageHistory stage = finished_run(small_configuration(iterations)).snapshot().stages[0];
    stage.ended_by = ended_by;
    stage.budget_gpu_hours = budget_gpu_hours;
    return found_digest({stage});
}

}  // namespace

TEST_CASE("each rule ends the evolution between two generations, as so many iterations would") {
    // 8 individuals, then 6 in each generation; 3 documents of 0.1 s each.
    const double seconds_of_four = (8 + 4 * 6) * 3 * 0.1;
    const double seconds_of_baselines = 6 * 3 * 0.1;
    const struct {
        const char* ended_by;
        std::function<void(StageSettings&)> set;
        std::uint32_t iterations;
    } cases[] = {
        {"max_evaluations", [](StageSettings& s) { s.max_evaluations = 8; }, 0},
        {"max_evaluations", [](StageSettings& s) { s.max_evaluations = 20; }, 2},
        {"max_evaluations", [](StageSettings& s) { s.max_evaluations = 25; }, 2},
        {"iterations", [](StageSettings& s) { s.max_evaluations = 8 + 12 * 6; }, 12},
        {"budget_gpu_hours",
         [&](StageSettings& s) {
             s.budget_gpu_hours = (seconds_of_four + seconds_of_baselines) / 3600.0 * 1.01;
         },
         4},
    };
    for (const auto& rule : cases) {
        const RunPlan plan = finished_run(with_rule(rule.set));
        const StageHistory& stage = plan.stages()[0].history();
        INFO(rule.ended_by << " after " << stage.generations.size() - 1);
        CHECK(stage.complete);
        CHECK(stage.ended_by == rule.ended_by);
        CHECK(plan.stages()[0].plan().settings.iterations == rule.iterations);
        CHECK(found_digest({stage}) ==
              plain_digest(rule.iterations, rule.ended_by,
                           plan.stages()[0].plan().settings.budget_gpu_hours));
    }
}

TEST_CASE("a search that finds nothing better for some generations ends there") {
    const Configuration patient = small_configuration(40);
    const StageHistory all = finished_run(patient).snapshot().stages[0];
    for (const std::uint32_t stagnation : {1U, 2U}) {
        const Configuration configuration =
            with_rule([stagnation](StageSettings& s) { s.stagnation = stagnation; }, 40);
        const RunPlan plan = finished_run(configuration);
        const StageHistory& stage = plan.stages()[0].history();
        const std::size_t last = stage.generations.size() - 1;
        REQUIRE(stage.ended_by == "stagnation");
        REQUIRE(last >= stagnation);
        // It is the first generation for which that holds.
        for (std::size_t generation = stagnation; generation <= last; ++generation) {
            const bool stands_still = all.generations[generation].best_individual ==
                                      all.generations[generation - stagnation].best_individual;
            CHECK(stands_still == (generation == last));
        }
        CHECK(found_digest({stage}) ==
              plain_digest(static_cast<std::uint32_t>(last), "stagnation"));
    }
}

TEST_CASE("a search that a rule ended is complete when it is started again, and verified") {
    for (const auto& set : std::initializer_list<std::function<void(StageSettings&)>>{
             [](StageSettings& s) { s.max_evaluations = 20; },
             [](StageSettings& s) { s.stagnation = 1; },
             [](StageSettings& s) { s.budget_gpu_hours = 20.0 / 3600.0; }}) {
        const Configuration configuration = with_rule(set);
        const RunHistory ended = finished_run(configuration).snapshot();
        REQUIRE(ended.stages[0].ended_by != "iterations");
        const RunPlan again{configuration, small_facts(), ended};
        CHECK(again.complete());
        CHECK(again.restored() == scores_in(ended.stages[0]));
        CHECK(again.stages()[0].scored() == again.restored());
        CHECK(found_digest(again.snapshot().stages) == found_digest(ended.stages));
        CHECK_NOTHROW(static_cast<void>(verify(ended)));
    }
}

TEST_CASE("without the rule the search goes on, and keeps the final rows of its first end") {
    const Configuration ruled = with_rule([](StageSettings& s) { s.max_evaluations = 20; }, 4);
    const RunHistory ended = finished_run(ruled).snapshot();
    const RunHistory all = finished_run(small_configuration(4), ended).snapshot();
    CHECK(all.stages[0].ended_by == "iterations");
    CHECK(all.stages[0].generations.size() == 5);
    CHECK(all.stages[0].heldout.rows.front().iterations == 2);
    CHECK(all.stages[0].heldout.rows.back().iterations == 4);
    CHECK_NOTHROW(static_cast<void>(verify(all)));
    // A stricter rule does not take back what is there.
    const RunPlan strict{ruled, small_facts(), all};
    CHECK(strict.complete());
    CHECK(strict.stages()[0].history().generations.size() == 5);
}

TEST_CASE("a search cut anywhere ends by its rule as if it had not been cut") {
    const Configuration configuration = with_rule([](StageSettings& s) { s.stagnation = 2; });
    const std::string whole = found_digest(finished_run(configuration).snapshot().stages);
    for (std::uint64_t steps = 1; steps < 260; steps += 13) {
        RunPlan cut{configuration, small_facts(), std::nullopt};
        DirectRun{cut, closed_form, steps}.run(steps);
        CHECK_NOTHROW(static_cast<void>(verify(cut.snapshot())));
        const RunPlan resumed = finished_run(configuration, cut.snapshot());
        CHECK(found_digest(resumed.snapshot().stages) == whole);
    }
}

TEST_CASE(
    "a rule that was loosened and tightened again before anything was scored ends as before") {
    const auto rule = [](std::uint32_t stagnation) {
        return with_rule([stagnation](StageSettings& s) { s.stagnation = stagnation; }, 40);
    };
    const RunHistory ended = finished_run(rule(1)).snapshot();
    REQUIRE(ended.stages[0].ended_by == "stagnation");
    RunPlan looser{rule(9), small_facts(), ended};
    REQUIRE_FALSE(looser.complete());
    const RunPlan again{rule(1), small_facts(), looser.snapshot()};
    CHECK(again.complete());
    CHECK(found_digest(again.snapshot().stages) == found_digest(ended.stages));
}

TEST_CASE("where a budget ended the evolution stands, however fast later tasks were") {
    Configuration configuration =
        with_rule([](StageSettings& s) { s.budget_gpu_hours = 20.0 / 3600.0; });
    RunHistory ended = finished_run(configuration).snapshot();
    REQUIRE(ended.stages[0].ended_by == "budget_gpu_hours");
    const std::size_t generations = ended.stages[0].generations.size();
    ended.stages[0].task_seconds /= 10;  // as if its last phase had run on a faster machine
    RunPlan again{configuration, small_facts(), ended};
    CHECK(again.complete());
    CHECK(again.snapshot().stages[0].generations.size() == generations);
    CHECK_NOTHROW(static_cast<void>(verify(ended)));
    // A smaller one ends nothing earlier, and is not the one that counts later.
    configuration.stages[0].budget_gpu_hours /= 2;
    const RunHistory smaller = RunPlan{configuration, small_facts(), ended}.snapshot();
    CHECK(smaller.stages[0].complete);
    CHECK(smaller.stages[0].budget_gpu_hours == ended.stages[0].budget_gpu_hours);

    // A larger one that came to nothing is none; one that scored something counts.
    configuration.stages[0].budget_gpu_hours = 40.0 / 3600.0;
    RunPlan tried{configuration, small_facts(), ended};
    REQUIRE_FALSE(tried.complete());
    configuration.stages[0].budget_gpu_hours = 20.0 / 3600.0;
    CHECK(RunPlan{configuration, small_facts(), tried.snapshot()}.complete());
    DirectRun{tried}.run(1);
    CHECK(tried.snapshot().stages[0].budget_gpu_hours == 0.0);
    CHECK_FALSE(RunPlan{configuration, small_facts(), tried.snapshot()}.complete());

    configuration.stages[0].budget_gpu_hours = 40.0 / 3600.0;
    const RunPlan raised = finished_run(configuration, ended);
    CHECK(raised.stages()[0].history().generations.size() > generations);
}

TEST_CASE("the time of all starts counts towards the budget") {
    const Configuration configuration =
        with_rule([](StageSettings& s) { s.budget_gpu_hours = 20.0 / 3600.0; });
    RunPlan cut{configuration, small_facts(), std::nullopt};
    DirectRun{cut}.run(50);
    CHECK(cut.snapshot().stages[0].task_seconds == doctest::Approx(5.0));
    const RunPlan resumed = finished_run(configuration, cut.snapshot());
    const RunPlan whole = finished_run(configuration);
    CHECK(resumed.stages()[0].history().generations.size() ==
          whole.stages()[0].history().generations.size());
    CHECK(resumed.stages()[0].history().task_seconds ==
          doctest::Approx(whole.stages()[0].history().task_seconds));
}
