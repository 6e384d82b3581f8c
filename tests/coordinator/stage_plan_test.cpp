// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_plan.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <string>

#include "coordinator/utc_time.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

StagePlan plan_of(const Configuration& configuration, const RunFacts& facts = small_facts()) {
    return plan_stage(configuration, configuration.stages.front(), facts);
}

/// Facts with many documents, so that a choice among them can differ.
RunFacts many_documents() {
    RunFacts facts = small_facts();
    for (int i = 0; i < 100; ++i) {
        facts.documents.push_back({"more " + std::to_string(i), "search", 4096});
    }
    return facts;
}

}  // namespace

TEST_CASE("documents are chosen by the seed, each once, in the order of the file") {
    Configuration configuration = small_configuration();
    configuration.documents.search = 10;
    std::set<std::vector<std::uint32_t>> choices;
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
        configuration.run.seed = seed;
        const DocumentSet chosen = plan_of(configuration, many_documents()).search_documents;
        CHECK(chosen.documents.size() == 10);
        CHECK(chosen.titles.size() == 10);
        CHECK(std::ranges::adjacent_find(chosen.documents, std::greater_equal{}) ==
              chosen.documents.end());
        for (const std::uint32_t document : chosen.documents) CHECK((document < 3 || document > 8));
        CHECK(chosen.documents ==
              plan_of(configuration, many_documents()).search_documents.documents);
        choices.insert(chosen.documents);
    }
    CHECK(choices.size() > 15);
    configuration.documents.search = 0;  // all
    CHECK(plan_of(configuration, many_documents()).search_documents.documents.size() == 103);
}

TEST_CASE("a stage's own numbers of documents go before those of all stages") {
    Configuration configuration = small_configuration();
    configuration.documents = {"d.h5", 1, 2, 0};
    configuration.stages.front().search_documents = "2";
    configuration.stages.front().validation_documents = "0";
    const StagePlan plan = plan_of(configuration);
    CHECK(plan.search_documents.documents.size() == 2);
    CHECK(plan.validation_documents.documents.size() == 3);
    CHECK(plan.heldout_documents.documents.size() == 3);
    configuration.stages.front().heldout_documents = "4";
    CHECK_THROWS_WITH_AS((void)plan_of(configuration),
                         "stage \"2048\": heldout_documents = 4, but the documents file has 3 of "
                         "this split: use a value in [0, 3], where 0 means all of them",
                         ConfigurationError);
}

TEST_CASE("the number of tasks announced is what a run without coincidences takes") {
    const Configuration configuration = small_configuration();
    const StagePlan plan = plan_of(configuration);
    RunPlan run{configuration, small_facts(), std::nullopt};
    DirectRun direct{run};
    direct.run();
    CHECK(direct.scored() <= plan.tasks());
    CHECK(direct.scored() + 3 * plan.baselines.size() > plan.tasks());
}

TEST_CASE("the batches of a stage are its phases in order, and its tasks their sum") {
    Configuration configuration = small_configuration();
    configuration.stages.front().start_tokens = "gene";
    const StagePlan plan = plan_of(configuration);
    const std::vector<std::uint64_t> batches = plan.batches();
    const std::uint64_t documents = plan.search_documents.documents.size();
    CHECK(batches.front() == (plan.baselines.size() + plan.search.population) * documents);
    CHECK(batches[1] == plan.tasks_at_once());
    CHECK(std::accumulate(batches.begin(), batches.end(), std::uint64_t{0}) == plan.tasks());
    CHECK(batches.size() == 1 + plan.search.iterations + 2);  // validation and held-out scores
    configuration.stages.front().start_tokens = "sweep";
    CHECK(plan_of(configuration).batches().size() == batches.size() + 1);
    configuration.stages.front().iterations = 0;
    const StagePlan first_only = plan_of(configuration);
    CHECK(first_only.tasks_at_once() == first_only.search.population * documents);
}

TEST_CASE("what cannot be searched is refused before anything runs, with what would be accepted") {
    Configuration configuration = small_configuration();
    RunFacts facts = small_facts();
    std::string expected;
    SUBCASE("nothing to extend") {
        configuration.stages.front().target_tokens = 256;
        expected =
            "stage \"2048\": target_tokens = 256 is not above the model's original window of 256 "
            "tokens: there is nothing to extend";
    }
    SUBCASE("more documents than there are") {
        configuration.documents.validation = 4;
        expected =
            "documents.validation = 4, but the documents file has 3 of this split: use a value in "
            "[0, 3], where 0 means all of them";
    }
    SUBCASE("no document to search on") {
        facts.documents.erase(facts.documents.begin(), facts.documents.begin() + 3);
        expected =
            "the documents file has no document of the split \"search\" that fills the 2048 tokens "
            "of "
            "stage \"2048\": the search needs at least one";
    }
    SUBCASE("a sweep without documents to choose on") {
        std::erase_if(facts.documents,
                      [](const DocumentFacts& document) { return document.split == "validation"; });
        expected =
            "stage \"2048\": start_tokens = \"sweep\" chooses on validation documents, and there "
            "are "
            "none: use \"gene\" or \"none\", or a documents file with that split";
    }
    SUBCASE("a model that turns by one pair") {
        facts.rotary_pairs = 1;
        expected =
            "the model has 1 rotary pairs and an original window of 256 tokens: factors can be "
            "searched for 2 to 448 pairs and a window of at least 7";
    }
    CHECK_THROWS_WITH_AS((void)plan_of(configuration, facts), expected.c_str(), ConfigurationError);
}

TEST_CASE("documents for shorter stages are none of a longer one's, and are some of theirs") {
    Configuration configuration = small_configuration();
    StageSettings longer = configuration.stages.front();
    longer.name = "4096";
    longer.target_tokens = 4096;
    configuration.stages.push_back(longer);
    RunFacts facts = small_facts();
    facts.documents[1].positions = 2048;  // of the three to search on
    const auto documents = [&](const StageSettings& stage) {
        return plan_stage(configuration, stage, facts, nullptr).search_documents.documents;
    };
    CHECK(documents(configuration.stages[0]) == std::vector<std::uint32_t>{0, 1, 2});
    CHECK(documents(configuration.stages[1]) == std::vector<std::uint32_t>{0, 2});

    configuration.documents.search = 3;
    CHECK(documents(configuration.stages[0]).size() == 3);
    CHECK_THROWS_WITH_AS(documents(configuration.stages[1]),
                         "documents.search = 3, but the documents file has 2 of this split that "
                         "fill the 4096 tokens "
                         "of stage \"4096\": use a value in [0, 2], where 0 means all of them",
                         ConfigurationError);
}

TEST_CASE("a time is written in UTC") {
    CHECK(iso_8601(0) == "1970-01-01T00:00:00Z");
    CHECK(iso_8601(1'700'000'000'999'999'999) == "2023-11-14T22:13:20Z");
    CHECK(utc_nanoseconds() > 1'700'000'000'000'000'000);
}
