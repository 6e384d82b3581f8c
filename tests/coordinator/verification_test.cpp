// SPDX-License-Identifier: Apache-2.0
#include "coordinator/verification.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/stage_run.hpp"
#include "genome/random_stream.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

RunHistory finished_history(std::uint32_t iterations = 3) {
    return finished_run(small_configuration(iterations)).snapshot();
}

/// What the verification objects to; empty if nothing.
std::string objection(const RunHistory& history) {
    try {
        static_cast<void>(verify(history));
    } catch (const HistoryError& error) {
        return error.what();
    }
    return "";
}

/// Gives a cell another score and settles the row, as if it had been measured so.
void rescore(ScoreTable<EvaluationRow>& table, std::size_t row, double factor) {
    const std::size_t width = table.documents.size();
    double sum = 0.0;
    double tokens = 0.0;
    table.document_nll[row * width] *= factor;
    for (std::size_t column = 0; column < width; ++column) {
        sum += table.document_nll[row * width + column];
        tokens += static_cast<double>(table.document_tokens[column]);
    }
    table.rows[row].mean_nll = sum / tokens;
    table.rows[row].perplexity = std::exp(sum / tokens);
}

}  // namespace

TEST_CASE("a finished search follows from its seed and scores") {
    const RunHistory history = finished_history();
    const std::vector<VerifiedStage> verified = verify(history);
    REQUIRE(verified.size() == 1);
    CHECK(verified[0].name == "2048");
    CHECK(verified[0].individuals == 26);
    CHECK(verified[0].generations == 4);
    CHECK(verified[0].scores == scores_in(history.stages[0]));
    CHECK(verified[0].complete);
}

TEST_CASE("a search follows wherever it was cut, whatever the order of the scores") {
    for (std::uint64_t steps = 0; steps < 200; steps += 7) {
        RunPlan plan{small_configuration(), small_facts(), std::nullopt};
        DirectRun{plan, closed_form, steps}.run(steps);
        INFO("after " << steps << " scores");
        CHECK(objection(plan.snapshot()).empty());
    }
}

TEST_CASE("faults, scores that are not finite and a search without parents follow") {
    const Scorer faulty = [](const Job& job, std::uint32_t column) -> std::optional<double> {
        const double sum = *closed_form(job, column);
        const auto draw = static_cast<std::uint64_t>(sum * 1e3);
        if (draw % 11 == 0) return std::nullopt;
        return draw % 7 == 0 ? INFINITY : sum;
    };
    for (std::uint64_t seed = 0; seed < 8; ++seed) {
        const RunPlan plan = finished_run(small_configuration(), std::nullopt, faulty, seed);
        CHECK(objection(plan.snapshot()).empty());
    }
    RunPlan barren{small_configuration(), small_facts(), std::nullopt};
    CHECK_THROWS_AS((DirectRun{barren, [](const Job&, std::uint32_t) { return INFINITY; }}.run()),
                    NoParents);
    CHECK(objection(barren.snapshot()).empty());
}

TEST_CASE("final phases of fewer iterations are replayed with these") {
    const RunHistory first = finished_history(1);
    RunHistory raised = finished_run(small_configuration(3), first).snapshot();
    CHECK(objection(raised).empty());
    ScoreTable<ScoreRow>& heldout = raised.stages[0].heldout;
    REQUIRE(heldout.rows.front().iterations == 1);
    const auto searched = std::ranges::find_if(heldout.rows, [](const ScoreRow& row) {
        return row.iterations == 1 && row.name == "searched";
    });
    REQUIRE(searched != heldout.rows.end());
    searched->individual = 0;
    CHECK(objection(raised).find("heldout") != std::string::npos);
}

TEST_CASE("a search that was cut in its final phase and went on with more iterations follows") {
    const auto steps_of = [](std::uint32_t iterations) {
        RunPlan plan{small_configuration(iterations), small_facts(), std::nullopt};
        DirectRun run{plan};
        run.run();
        return run.scored();
    };
    const std::uint64_t steps = steps_of(1);
    for (std::uint64_t cut = steps - 70; cut < steps; cut += 3) {
        INFO("cut after ", cut, " of ", steps, " scores");
        RunPlan begun{small_configuration(1), small_facts(), std::nullopt};
        DirectRun{begun, closed_form, cut}.run(cut);
        RunHistory history = begun.snapshot();
        RunPlan raised{small_configuration(2), small_facts(), history};
        DirectRun{raised, closed_form, cut}.run(cut / 2);
        CHECK(objection(raised.snapshot()) == "");
        const RunPlan last = finished_run(small_configuration(3), raised.snapshot());
        REQUIRE(last.complete());
        CHECK(objection(last.snapshot()) == "");
    }
}

TEST_CASE("the first row that does not follow is named") {
    using Tamper = std::function<void(StageHistory&)>;
    const std::vector<std::pair<Tamper, std::string>> cases{
        {[](StageHistory& stage) { stage.evaluations.rows[5].mean_nll *= 1.01; },
         "individual 5 has mean_nll = "},
        {[](StageHistory& stage) { stage.evaluations.rows[5].perplexity *= 1.01; },
         "individual 5 has perplexity = "},
        {[](StageHistory& stage) { stage.evaluations.rows[9].tokens = 1; },
         "individual 9 has tokens = 1, but 6141 follows"},
        {[](StageHistory& stage) { stage.evaluations.rows[9].frontier = 3; },
         "individual 9 has frontier = 3, but this configuration breeds 8"},
        {[](StageHistory& stage) { stage.evaluations.document_nll[4 * 3 + 1] = NAN; },
         "individual 4 has document_nll = nan in column 1"},
        {[](StageHistory& stage) { stage.evaluations.document_nll[4 * 3 + 1] += 1.0; },
         "individual 4 has mean_nll = "},
        {[](StageHistory& stage) { stage.evaluations.rows[7].status = Status::failed; },
         "individual 7 has status = failed, but done follows"},
        // Scores that agree with each other still decide who the parents are.
        {[](StageHistory& stage) { rescore(stage.evaluations, 1, 0.5); }, "individual "},
        // Of two rows, the first.
        {[](StageHistory& stage) {
             stage.evaluations.rows[20].tokens = 1;
             stage.evaluations.factors[12 * 8 + 7] += 0.001;
         },
         "individual 12 has factor 7"},
        {[](StageHistory& stage) {
             stage.evaluations.rows[12].tokens = 1;
             stage.evaluations.factors[20 * 8 + 7] += 0.001;
         },
         "individual 12 has tokens"},
        {[](StageHistory& stage) { stage.baselines.rows[2].mean_nll = 1.0; },
         "baselines: row 2 (\"ntk\") has mean_nll = 1, but"},
        {[](StageHistory& stage) { stage.generations[1].best_individual = 0; },
         "generation 1 has best_individual = 0"},
        {[](StageHistory& stage) { stage.generations.pop_back(); }, "generation 3 is missing"},
        {[](StageHistory& stage) { stage.validation.rows.back().mean_nll = 0.5; },
         "validation: row "},
        {[](StageHistory& stage) { stage.validation.rows.back().individual = 3; }, "validation "},
        {[](StageHistory& stage) { stage.best.individual = 0; }, "best has individual = 0"},
        {[](StageHistory& stage) { stage.best.factors[3] = 2.0; }, "best has other factors"},
        {[](StageHistory& stage) { stage.best.start_tokens = 4; }, "best has start_tokens = 4"},
        {[](StageHistory& stage) { stage.attention_scale = 1.0; }, "it has attention_scale = 1,"},
        {[](StageHistory& stage) { stage.heldout.document_tokens[0] = 9; },
         "it has heldout/document_tokens = 9"},
    };
    const RunHistory sound = finished_history();
    for (const auto& [tamper, expected] : cases) {
        RunHistory history = sound;
        tamper(history.stages.front());
        const std::string text = objection(history);
        INFO("found: ", text, ", expected: ", expected);
        CHECK(text.find("stage \"2048\" of the history: " + expected) != std::string::npos);
    }
}

TEST_CASE("a failure without a fault, and an end by another rule, do not follow") {
    const Scorer crashing = [](const Job& job, std::uint32_t column) -> std::optional<double> {
        if (job.start_tokens == 0 && column == 1 && job.factors.back() > 9.0) return std::nullopt;
        return closed_form(job, column);
    };
    RunHistory history = finished_run(small_configuration(), std::nullopt, crashing).snapshot();
    REQUIRE_FALSE(history.stages[0].failures.empty());
    REQUIRE(objection(history).empty());
    history.stages[0].failures.clear();
    CHECK(objection(history).find("has failed without all its document scores, but failures names "
                                  "no fault of it") != std::string::npos);

    history = finished_history();
    history.stages[0].ended_by = "stagnation";
    CHECK(objection(history).find("it is said to have ended by stagnation, but iterations "
                                  "follows") != std::string::npos);
}

TEST_CASE("a header that its configuration contradicts is refused") {
    RunHistory history = finished_history();
    history.seed = 8;
    CHECK(objection(history).find("seed = 8, but its configuration gives 7") != std::string::npos);
    history = finished_history();
    history.identity["stage.2048.parents"] = "5";
    CHECK(objection(history).find("stage.2048.parents = 5") != std::string::npos);
    history = finished_history();
    history.stages[0].name = "other";
    CHECK(objection(history).find("stage 1 = other") != std::string::npos);
    history = finished_history();
    history.configuration = "seed == 7";
    CHECK(objection(history).find("the configuration in the history cannot be read: ") == 0);
}

TEST_CASE("a stage that has not begun may stand before one that has") {
    RunHistory history = finished_history();
    Configuration configuration = small_configuration();
    StageSettings waiting = configuration.stages.front();
    waiting.name = "before";
    configuration.stages.insert(configuration.stages.begin(), waiting);
    history.configuration = to_toml(configuration);
    history.identity = identity_settings(configuration);
    CHECK(objection(history) == "");
}

TEST_CASE("no single document score can change after its row led to children") {
    const RunHistory sound = finished_history();
    longrope::genome::RandomStream random{1, "tampering", 0};
    for (int trial = 0; trial < 40; ++trial) {
        RunHistory history = sound;
        auto& table = history.stages[0].evaluations;
        const auto row = random.uniform_integer(8);
        rescore(table, row, 0.2);  // the best by far
        CHECK_FALSE(objection(history).empty());
    }
}
