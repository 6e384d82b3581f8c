// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <string>

#include "coordinator/run_plan.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

std::optional<double> sometimes_failing(const Job& job, std::uint32_t column) {
    const auto tail = static_cast<std::uint64_t>(std::llround(job.factors[6] * 1000.0));
    if (tail % 5 == 2) return std::nullopt;
    if (tail % 5 == 3 && column == 0) return std::numeric_limits<double>::quiet_NaN();
    return closed_form(job, column);
}

/// The history after so many scores of a run from its beginning.
RunHistory cut_after(std::uint64_t steps, const Configuration& configuration, const Scorer& scorer,
                     std::optional<std::uint64_t> seed) {
    RunPlan plan{configuration, small_facts(), std::nullopt};
    DirectRun{plan, scorer, seed}.run(steps);
    return plan.snapshot();
}

std::uint64_t steps_of(const Configuration& configuration, const Scorer& scorer) {
    RunPlan plan{configuration, small_facts(), std::nullopt};
    DirectRun run{plan, scorer};
    run.run();
    return run.scored();
}

}  // namespace

TEST_CASE("a search cut anywhere and resumed finds what an uninterrupted one finds") {
    const Configuration configuration = small_configuration();
    for (const Scorer& scorer : {Scorer{closed_form}, Scorer{sometimes_failing}}) {
        const RunPlan whole = finished_run(configuration, std::nullopt, scorer);
        const std::string expected = found_digest(whole.snapshot().stages);
        const std::uint64_t steps = steps_of(configuration, scorer);
        REQUIRE(steps > 150);
        for (std::uint64_t cut = 0; cut <= steps; ++cut) {
            INFO("cut after ", cut, " of ", steps);
            const RunHistory history = cut_after(cut, configuration, scorer, cut);
            RunPlan resumed{configuration, small_facts(), history};
            CHECK(resumed.resumed());
            // Nothing that was stored is lost or computed again.
            CHECK(resumed.restored() == scores_in(history.stages.front()));
            CHECK(scores_in(resumed.stages().front().history()) == resumed.restored());
            CHECK(resumed.complete() == (cut == steps));
            DirectRun rest{resumed, scorer, cut + 1000};
            rest.run();
            CHECK(rest.scored() <= steps - cut + 30);  // failed ones skip what was not asked yet
            CHECK(resumed.complete());
            CHECK(found_digest(resumed.snapshot().stages) == expected);
            CHECK(resumed.stages().front().scored() ==
                  scores_in(resumed.stages().front().history()));
        }
    }
}

TEST_CASE("a search cut many times over is still the same search") {
    const Configuration configuration = small_configuration();
    const std::string expected = found_digest(finished_run(configuration).snapshot().stages);
    const std::uint64_t steps = steps_of(configuration, closed_form);
    std::optional<RunHistory> history;
    std::uint64_t computed = 0;
    for (std::uint64_t start = 0; start < steps + 1; ++start) {
        INFO("start ", start);
        RunPlan plan{configuration, small_facts(), history};
        DirectRun run{plan, closed_form, start};
        run.run(1 + start % 7);
        computed += run.scored();
        history = plan.snapshot();
        if (plan.complete()) break;
    }
    CHECK(computed == steps);  // every score is computed once
    CHECK(found_digest(history->stages) == expected);
}

TEST_CASE("raised iterations go on from what is there and keep the final rows of before") {
    const RunPlan short_run = finished_run(small_configuration(3));
    const RunHistory before = short_run.snapshot();
    const RunPlan long_run = finished_run(small_configuration(5), before);
    REQUIRE(long_run.complete());
    const StageHistory& after = long_run.stages().front().history();
    const StageHistory& old = before.stages.front();
    for (const auto& [rows, old_rows] :
         {std::pair{&after.validation, &old.validation},
          std::pair{&after.start_token_sweep, &old.start_token_sweep},
          std::pair{&after.heldout, &old.heldout}}) {
        REQUIRE(rows->rows.size() > old_rows->rows.size());
        for (std::size_t row = 0; row < old_rows->rows.size(); ++row) {
            CHECK(rows->rows[row].name == old_rows->rows[row].name);
            CHECK(rows->rows[row].iterations == 3);
            CHECK(rows->rows[row].mean_nll == old_rows->rows[row].mean_nll);
        }
        for (std::size_t row = old_rows->rows.size(); row < rows->rows.size(); ++row) {
            CHECK(rows->rows[row].iterations == 5);
        }
    }
    CHECK(after.best.iterations == 5);

    // The trajectory and its result are those of a run that was asked for 5 from the start.
    const RunPlan direct = finished_run(small_configuration(5));
    const StageHistory& expected = direct.stages().front().history();
    CHECK(after.evaluations.factors == expected.evaluations.factors);
    CHECK(after.evaluations.document_nll == expected.evaluations.document_nll);
    CHECK(after.best.individual == expected.best.individual);
    CHECK(after.best.factors == expected.best.factors);
    CHECK(after.best.start_tokens == expected.best.start_tokens);

    CHECK_THROWS_WITH_AS((RunPlan{small_configuration(3), small_facts(), long_run.snapshot()}),
                         "stage \"2048\" of the history: it holds 38 individuals, but the "
                         "configured iterations = 3 end at 26: iterations may be raised, not "
                         "lowered, here to 5 or more",
                         ReplayMismatch);
}

TEST_CASE("a task's expected time is that of what was computed, however often a search goes on") {
    std::optional<RunHistory> history;
    for (std::uint32_t iterations = 1; iterations <= 6; ++iterations) {
        const RunPlan plan = finished_run(small_configuration(iterations), history);
        history = plan.snapshot();
        const StageHistory& stage = history->stages.front();
        CHECK(computed_scores(stage) < scores_in(stage));  // the final phases share what they can
        CHECK(stage.task_seconds ==
              doctest::Approx(0.1 * static_cast<double>(computed_scores(stage))));
        const RunPlan again{small_configuration(iterations), small_facts(), history};
        CHECK(again.stages().front().expected_task_seconds(2048).value() == doctest::Approx(0.1));
    }
}

TEST_CASE("iterations raised at any moment of the final phase cost no score and change no result") {
    const Configuration three = small_configuration(3);
    const Configuration four = small_configuration(4);
    const RunPlan direct = finished_run(four);
    const StageHistory& expected = direct.stages().front().history();
    const std::uint64_t steps = steps_of(three, closed_form);
    for (std::uint64_t cut = 70; cut <= steps; ++cut) {
        INFO("raised after ", cut, " of ", steps);
        const RunHistory history = cut_after(cut, three, closed_form, cut);
        RunPlan plan{four, small_facts(), history};
        CHECK(plan.restored() == scores_in(history.stages.front()));
        DirectRun run{plan, closed_form, cut};
        run.run(25);
        // Cut once more, while rows of both numbers of iterations are there.
        const RunHistory again = plan.snapshot();
        RunPlan last{four, small_facts(), again};
        CHECK(last.restored() == scores_in(again.stages.front()));
        DirectRun{last, closed_form, cut + 1}.run();
        REQUIRE(last.complete());
        const StageHistory& after = last.stages().front().history();
        CHECK(last.stages().front().scored() == scores_in(after));
        CHECK(after.evaluations.document_nll == expected.evaluations.document_nll);
        CHECK(after.best.individual == expected.best.individual);
        CHECK(after.best.start_tokens == expected.best.start_tokens);
        CHECK(after.heldout.rows.back().mean_nll == expected.heldout.rows.back().mean_nll);
    }
}
