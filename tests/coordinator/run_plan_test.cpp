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
    history.program_version = "0.0.9";
    history.program_commit = "abc";
    const RunPlan plan{small_configuration(), small_facts(), history};
    const RunHistory now = plan.snapshot();
    CHECK(now.run_uuid == history.run_uuid);
    CHECK(now.created == history.created);
    CHECK(now.numerics_class == "synthetic 1");
    CHECK(now.starts == 3);
    CHECK(now.workers.size() == 2);
    CHECK(now.program_version == "0.0.9");
    CHECK(now.program_commit == "abc");
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
    CHECK(contains(gone, "stage \"4096\": the history has begun it"));
    CHECK_FALSE(contains(gone, "target_tokens"));
    Configuration renamed = small_configuration();
    renamed.stages.front().name = "long";
    const std::string text = refusal<IdentityMismatch>(renamed, small_facts(), history);
    CHECK(contains(text,
                   "stage \"2048\": the history has begun it, this configuration has no stage of "
                   "that name (taken out, or renamed?)"));
    CHECK_FALSE(contains(text, "stage.2048."));
}

TEST_CASE("a search does not begin with a document that fills no stage") {
    RunFacts facts = small_facts();
    facts.documents[1].positions = 2047;
    CHECK_THROWS_WITH_AS(
        (RunPlan{small_configuration(), facts, std::nullopt}),
        "document 1 (\"search 2\", search) fills 2047 positions, but stage \"2048\" has "
        "target_tokens = 2048: use documents of at least that length or a smaller target",
        ConfigurationError);
}

TEST_CASE("a stage that has begun keeps its documents, whatever other stages come and go") {
    RunFacts facts = small_facts();
    for (const std::size_t document : {0U, 3U, 6U}) facts.documents[document].positions = 1500;
    Configuration with_shorter = small_configuration();
    StageSettings shorter = with_shorter.stages.front();
    shorter.name = "1024";
    shorter.target_tokens = 1024;
    with_shorter.stages.push_back(shorter);
    RunPlan plan{with_shorter, facts, std::nullopt};
    DirectRun{plan}.run(60);
    RunHistory history = plan.snapshot();
    CHECK(history.stages[0].evaluations.documents == std::vector<std::uint32_t>{1, 2});
    history.stages.resize(1);  // as if the shorter one had not begun

    Configuration changed = with_shorter;
    changed.stages[1].target_tokens = 1600;
    for (const Configuration& configuration : {with_shorter, small_configuration(), changed}) {
        const RunPlan resumed{configuration, facts, history};
        CHECK(resumed.snapshot().stages[0].evaluations.documents ==
              history.stages[0].evaluations.documents);
        CHECK(resumed.planned(0).search_documents.documents ==
              history.stages[0].evaluations.documents);
    }
    CHECK(RunPlan{changed, facts, history}.planned(1).search_documents.documents ==
          std::vector<std::uint32_t>{1, 2});
}

TEST_CASE("rows that a start with more iterations only bred are no obstacle to fewer") {
    const RunHistory complete = finished_run(small_configuration(2)).snapshot();
    RunHistory more = RunPlan{small_configuration(9), small_facts(), complete}.snapshot();
    REQUIRE(more.stages[0].evaluations.rows.size() > complete.stages[0].evaluations.rows.size());
    REQUIRE_FALSE(more.stages[0].complete);
    const RunPlan again{small_configuration(2), small_facts(), more};
    CHECK(again.complete());
    CHECK(found_digest(again.snapshot().stages) == found_digest(complete.stages));

    ScoreTable<EvaluationRow>& table = more.stages[0].evaluations;
    set_cell(table, table.rows.size() - 1, 0, 1.0);
    CHECK(contains(refusal<ReplayMismatch>(small_configuration(2), small_facts(), more),
                   "end at 20: iterations may be raised, not lowered, here to 3 or more"));
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
         "the row \"pi\" has factor 0 = 8.5, but this configuration gives it 8"},
        {[](StageHistory& stage) { stage.baselines.documents[0] = 1; },
         "its baseline documents are not those of the configuration"},
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
