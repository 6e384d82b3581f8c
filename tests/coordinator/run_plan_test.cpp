// SPDX-License-Identifier: Apache-2.0
#include "coordinator/run_plan.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

/// A history of the small run, cut in the middle.
RunHistory stored_history() {
    RunPlan plan{small_configuration(), small_facts(), std::nullopt};
    DirectRun{plan}.run(60);
    return plan.snapshot();
}

/// What the refusal of this history says; empty if it is accepted.
template <typename Error>
std::string refusal(const Configuration& configuration, const RunFacts& facts,
                    const RunHistory& history) {
    try {
        const RunPlan plan{configuration, facts, history};
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a new run has a name, a time and every job of its first generation") {
    RunPlan plan{small_configuration(), small_facts(), std::nullopt};
    CHECK_FALSE(plan.resumed());
    CHECK_FALSE(plan.complete());
    CHECK(plan.restored() == 0);
    const RunHistory history = plan.snapshot();
    CHECK(history.run_uuid.size() == 36);
    CHECK(history.run_uuid !=
          RunPlan{small_configuration(), small_facts(), std::nullopt}.snapshot().run_uuid);
    CHECK(history.created.ends_with('Z'));
    CHECK(history.seed == 7);
    CHECK(history.model_digest == "model 1");
    CHECK(history.identity.at("stage.2048.population") == "8");
    CHECK_FALSE(history.identity.contains("stage.2048.iterations"));
    CHECK_NOTHROW(require_consistent(history, "memory"));
    CHECK_FALSE(plan.take_open_jobs(0).empty());
    CHECK(plan.take_open_jobs(0).empty());  // taken once
}

TEST_CASE("a resumed run keeps its name, its beginning and its numerics") {
    RunHistory history = stored_history();
    history.numerics_class = "synthetic 1";
    history.starts = 3;
    history.created = "2024-01-02T03:04:05Z";
    history.workers.resize(2);
    const RunPlan plan{small_configuration(), small_facts(), history};
    const RunHistory now = plan.snapshot();
    CHECK(now.run_uuid == history.run_uuid);
    CHECK(now.created == history.created);
    CHECK(now.numerics_class == "synthetic 1");
    CHECK(now.starts == 3);
    CHECK(now.workers.size() == 2);
}

TEST_CASE("another seed, stage, model or document is refused, each difference by name") {
    const RunHistory history = stored_history();
    Configuration configuration = small_configuration();
    RunFacts facts = small_facts();
    CHECK(refusal<IdentityMismatch>(configuration, facts, history).empty());

    configuration.run.seed = 8;
    configuration.stages.front().population = 10;
    facts.model_digest = "model 2";
    facts.documents_digest = "documents 2";
    const std::string text = refusal<IdentityMismatch>(configuration, facts, history);
    for (const char* part :
         {"run.seed: the history has 7, this configuration 8",
          "stage.2048.population: the history has 8, this configuration 10",
          "model digest: the history has model 1, this configuration model 2",
          "documents digest: the history has documents 1, this configuration documents 2"}) {
        INFO(text);
        CHECK(contains(text, part));
    }
    CHECK_FALSE(contains(text, "parents"));
}

TEST_CASE("operational settings may change between two starts") {
    const RunHistory history = stored_history();
    Configuration configuration = small_configuration(9);
    configuration.run.directory = "elsewhere";
    configuration.run.time_limit_seconds = 60;
    configuration.run.max_faults = 5;
    configuration.evaluator.threads = 3;
    configuration.evaluator.deadline_floor_seconds = 5;
    configuration.evaluator.start_seconds = 5;
    configuration.model.path = "a/copy";
    CHECK(refusal<std::exception>(configuration, small_facts(), history).empty());
}

TEST_CASE("the numerics class of a history is taken over with its first score") {
    RunHistory history = stored_history();
    history.numerics_class = "synthetic 1";
    CHECK(RunPlan{small_configuration(), small_facts(), history}.header().numerics_class ==
          history.numerics_class);
    RunHistory unscored = RunPlan{small_configuration(), small_facts(), std::nullopt}.snapshot();
    REQUIRE_FALSE(unscored.stages.empty());
    unscored.numerics_class = "of the wrong workers";
    CHECK(RunPlan{small_configuration(), small_facts(), unscored}.header().numerics_class.empty());
}

TEST_CASE("a stage may be added whose name begins with that of one that has begun") {
    const RunHistory history = stored_history();
    Configuration two = small_configuration();
    two.stages.push_back(two.stages.front());
    two.stages.back().name = two.stages.front().name + ".1";
    two.stages.back().target_tokens = 4096;
    CHECK(refusal<std::exception>(two, small_facts(), history).empty());
}

TEST_CASE("a stage may be added to a run, but not taken away or renamed") {
    const RunHistory history = stored_history();
    Configuration two = small_configuration();
    two.stages.push_back(two.stages.front());
    two.stages.back().name = "4096";
    two.stages.back().target_tokens = 4096;
    RunPlan plan{two, small_facts(), history};
    CHECK(plan.stages().size() == 2);
    CHECK(plan.restored() == scores_in(history.stages.front()));
    DirectRun{plan}.run();
    CHECK(plan.complete());
    const RunHistory both = plan.snapshot();
    CHECK_NOTHROW(require_consistent(both, "memory"));

    const std::string gone = refusal<IdentityMismatch>(small_configuration(), small_facts(), both);
    CHECK(
        contains(gone, "stage.4096.target_tokens: the history has 4096, this configuration none"));
    Configuration renamed = small_configuration();
    renamed.stages.front().name = "long";
    CHECK(contains(refusal<IdentityMismatch>(renamed, small_facts(), history), "stage.2048."));
}

TEST_CASE("a history whose rows are not what the search breeds is refused, naming the row") {
    using Tamper = std::function<void(StageHistory&)>;
    const std::vector<std::pair<Tamper, std::string>> cases{
        {[](StageHistory& stage) {
             stage.evaluations.factors[5 * 8 + 7] =
                 std::nextafter(stage.evaluations.factors[5 * 8 + 7], 100.0);
         },
         "individual 5 has factor 7 = "},
        {[](StageHistory& stage) { stage.evaluations.rows[6].parent_a = 99; },
         "individual 6 has parent_a = 99"},
        {[](StageHistory& stage) { stage.evaluations.rows[2].origin = Origin::crossover; },
         "individual 2 has origin = "},
        {[](StageHistory& stage) { stage.evaluations.rows[3].start_tokens = 4; },
         "individual 3 has start_tokens = 4, but this configuration breeds 0"},
        {[](StageHistory& stage) { stage.evaluations.rows[4].status = Status::skipped; },
         "individual 4 has skipped = true"},
        {[](StageHistory& stage) { stage.baselines.factors[8] += 0.5; },
         "the row \"pi\" has other factors"},
        {[](StageHistory& stage) { stage.validation.documents[0] = 1; },
         "its validation documents are not those of the configuration"},
        {[](StageHistory& stage) { stage.start_token_sweep.documents[0] = 1; },
         "its start token sweep documents are not those"},
        {[](StageHistory& stage) { stage.heldout.dimensions = 9; },
         "its heldout factors have 9 dimensions, the model has 8"},
    };
    for (const auto& [tamper, expected] : cases) {
        RunHistory history = stored_history();
        tamper(history.stages.front());
        const std::string text =
            refusal<ReplayMismatch>(small_configuration(), small_facts(), history);
        INFO("found: ", text, ", expected: ", expected);
        CHECK(contains(text, expected));
        CHECK(contains(text, "stage \"2048\" of the history"));
    }
}

TEST_CASE("a changed score changes what is bred, and is refused where that shows") {
    RunHistory history = stored_history();
    ScoreTable<EvaluationRow>& table = history.stages.front().evaluations;
    REQUIRE(table.rows.size() > 8);  // the second generation is bred
    for (std::size_t row = 0; row < 8; ++row) {
        table.rows[row].mean_nll = 1.0 + 0.1 * static_cast<double>((row * 5) % 8);
    }
    CHECK(contains(refusal<ReplayMismatch>(small_configuration(), small_facts(), history),
                   "individual "));
}
