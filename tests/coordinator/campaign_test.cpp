// SPDX-License-Identifier: Apache-2.0
// Several stages of one run that build on each other.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "coordinator/run_plan.hpp"
#include "coordinator/score_table.hpp"
#include "coordinator/verification.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_campaign.hpp"

using namespace longrope::coordinator;

namespace {

RunPlan campaign(std::optional<RunHistory> earlier = std::nullopt,
                 std::optional<std::uint64_t> shuffle_seed = std::nullopt) {
    RunPlan plan{small_campaign(), campaign_facts(), std::move(earlier)};
    DirectRun{plan, closed_form, shuffle_seed}.run();
    return plan;
}

/// A campaign whose first stage is finished, and whose tuned weights are still to come.
RunHistory waiting_campaign() {
    RunPlan plan{small_campaign(), campaign_facts(""), std::nullopt};
    DirectRun{plan}.run();
    return plan.snapshot();
}

const StageHistory& stage_of(const RunHistory& history, const std::string& name) {
    return *std::ranges::find(history.stages, name, &StageHistory::name);
}

std::vector<std::string> names_of(const ScoreTable<ScoreRow>& table) {
    std::vector<std::string> names;
    for (const ScoreRow& row : table.rows) names.push_back(row.name);
    return names;
}

template <typename Error>
std::string refusal(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a campaign runs its stages in order and finds the same in any order of arrival") {
    const RunPlan whole = campaign();
    REQUIRE(whole.complete());
    const RunHistory history = whole.snapshot();
    REQUIRE(history.stages.size() == 4);
    for (const StageHistory& stage : history.stages) CHECK(stage.complete);
    const std::string expected = found_digest(history.stages);
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
        CHECK(found_digest(campaign(std::nullopt, seed).snapshot().stages) == expected);
    }
}

TEST_CASE("a campaign cut anywhere and resumed finds what an uninterrupted one finds") {
    const std::string expected = found_digest(campaign().snapshot().stages);
    RunPlan counted{small_campaign(), campaign_facts(), std::nullopt};
    DirectRun all{counted};
    all.run();
    for (std::uint64_t cut = 0; cut <= all.scored(); cut += 7) {
        INFO("cut after ", cut, " of ", all.scored());
        RunPlan first{small_campaign(), campaign_facts(), std::nullopt};
        DirectRun{first, closed_form, cut}.run(cut);
        const RunHistory history = first.snapshot();
        RunPlan resumed{small_campaign(), campaign_facts(), history};
        std::uint64_t held = 0;
        for (const StageHistory& stage : history.stages) held += scores_in(stage);
        CHECK(resumed.restored() == held);
        DirectRun rest{resumed, closed_form, cut + 1};
        rest.run();
        CHECK(rest.scored() == all.scored() - cut);
        CHECK(resumed.complete());
        CHECK(found_digest(resumed.snapshot().stages) == expected);
    }
}

TEST_CASE("a second search multiplies the result of its base, for the whole extension's scale") {
    const RunHistory history = campaign().snapshot();
    const StageHistory& base = stage_of(history, "2048");
    const StageHistory& second = stage_of(history, "4096");
    CHECK(second.base.stage == "2048");
    CHECK(second.base.individual == base.best.individual);
    CHECK(second.base.factors == base.best.factors);
    CHECK(second.base.start_tokens == base.best.start_tokens);
    CHECK(second.model_digest == "model 2");
    CHECK(base.model_digest == "model 1");
    CHECK(second.attention_scale == doctest::Approx(std::sqrt(1 + std::log(16.0) / std::log(256))));
    const double bound = 1.25 * 2;  // of the multiplier, whose s is 4096 / 2048
    for (std::size_t row = 0; row < second.evaluations.rows.size(); ++row) {
        const auto factors = factors_of(second.evaluations, row);
        double last = 1.0;
        for (std::size_t i = 0; i < factors.size(); ++i) {
            const double multiplier = factors[i] / base.best.factors[i];
            CHECK(multiplier >= doctest::Approx(last));
            CHECK(multiplier <= doctest::Approx(bound));
            last = multiplier;
        }
    }
    const auto names = names_of(second.heldout);
    CHECK(names == std::vector<std::string>{"none", "pi", "ntk", "yarn", "base", "searched"});
    CHECK(std::ranges::equal(factors_of(second.heldout, 4), base.best.factors));
    CHECK(second.heldout.rows[4].start_tokens == base.best.start_tokens);
    // The methods to compare with are those for the whole extension.
    CHECK(factors_of(second.heldout, 1)[0] == 16.0);
    // PI of the second scale, as a multiplier, is the first individual.
    CHECK(factors_of(second.evaluations, 0)[0] == base.best.factors[0] * 2.0);
}

TEST_CASE("a recovery searches below its own bound with the deployed scale") {
    const RunHistory history = campaign().snapshot();
    const StageHistory& base = stage_of(history, "2048");
    const StageHistory& recovery = stage_of(history, "256");
    CHECK(recovery.kind == "recovery");
    CHECK(recovery.attention_scale == base.attention_scale);
    CHECK(recovery.evaluations.document_tokens == std::vector<std::uint64_t>(3, 255));
    for (std::size_t row = 0; row < recovery.evaluations.rows.size(); ++row) {
        const auto factors = factors_of(recovery.evaluations, row);
        CHECK(std::ranges::is_sorted(factors));
        CHECK(factors.back() <= 2.0);
    }
    CHECK(recovery.evaluations.rows[0].origin == Origin::seed);
    CHECK(std::ranges::equal(factors_of(recovery.evaluations, 0), std::vector<double>(8, 1.0)));
    // At the first window PI, NTK and YaRN are the untouched model, and so is the base rescaled.
    CHECK(names_of(recovery.heldout) == std::vector<std::string>{"none", "base", "searched"});
}

TEST_CASE("an objective of several lengths weighs their means") {
    const StageHistory both = stage_of(campaign().snapshot(), "both");
    CHECK(both.evaluations.documents == std::vector<std::uint32_t>{0, 1, 2, 0, 1, 2});
    CHECK(both.evaluations.document_tokens ==
          std::vector<std::uint64_t>{255, 255, 255, 2047, 2047, 2047});
    CHECK(both.evaluations.document_weights ==
          std::vector<double>{0.25, 0.25, 0.25, 0.75, 0.75, 0.75});
    for (std::size_t row = 0; row < both.evaluations.rows.size(); ++row) {
        const auto nll = document_nll_of(both.evaluations, row);
        const double short_mean = (nll[0] + nll[1] + nll[2]) / (3 * 255);
        const double long_mean = (nll[3] + nll[4] + nll[5]) / (3 * 2047);
        CHECK(both.evaluations.rows[row].mean_nll ==
              doctest::Approx(0.25 * short_mean + 0.75 * long_mean).epsilon(1e-12));
    }
}

TEST_CASE("what tasks took in earlier starts is known for each length of a stage") {
    const auto seconds_at = [](const RunPlan& plan, const std::string& name, std::uint64_t tokens) {
        for (const StageRun& stage : plan.stages()) {
            if (stage.history().name == name) return stage.expected_task_seconds(tokens).value();
        }
        return 0.0;
    };
    // Every score took a tenth of a second, whatever its length: that is what is stored.
    const RunPlan whole = campaign(campaign().snapshot());
    // Rows that share scores of one function count them each: hence roughly.
    CHECK(seconds_at(whole, "2048", 2048) == doctest::Approx(0.1).epsilon(0.1));
    CHECK(seconds_at(whole, "both", 2048) == doctest::Approx(0.2).epsilon(0.1));
    CHECK(seconds_at(whole, "both", 256) == doctest::Approx(0.2 / 8).epsilon(0.1));
    const RunPlan fresh{small_campaign(), campaign_facts(), std::nullopt};
    CHECK_FALSE(fresh.stages().front().expected_task_seconds(2048).has_value());
}

TEST_CASE("a stage whose model does not exist is waited for, and goes on when it does") {
    const RunHistory history = waiting_campaign();
    REQUIRE(history.stages.size() == 1);
    CHECK(history.stages.front().complete);
    RunPlan waiting{small_campaign(), campaign_facts(""), history};
    CHECK_FALSE(waiting.complete());
    CHECK(waiting.next_stage() == 1);
    REQUIRE(waiting.missing_model());
    CHECK(waiting.missing_model()->name == "4096");
    CHECK(waiting.missing_model()->folder == "tuned");
    CHECK(waiting_reason(*waiting.missing_model()) ==
          "stage \"4096\" waits for its model: tuned has no config.json yet");

    const RunPlan whole = campaign(history);
    CHECK(whole.complete());
    CHECK(found_digest(whole.snapshot().stages) == found_digest(campaign().snapshot().stages));
    // What is finished needs its model no more.
    RunPlan later{small_campaign(), campaign_facts(""), whole.snapshot()};
    CHECK(later.complete());
    CHECK(stage_of(later.snapshot(), "4096").model_digest == "model 2");
}

TEST_CASE("a stage that has not begun may still be changed, one that has may not") {
    const RunHistory history = waiting_campaign();
    Configuration changed = small_campaign();
    changed.stages[1].population = 10;
    CHECK_NOTHROW((RunPlan{changed, campaign_facts(), history}));
    changed.stages[1].name = "renamed";
    CHECK_NOTHROW((RunPlan{changed, campaign_facts(), history}));
    changed = small_campaign();
    changed.stages[0].population = 10;
    CHECK(contains(refusal<IdentityMismatch>([&] {
                       const RunPlan plan{changed, campaign_facts(), history};
                   }),
                   "stage.2048.population: the history has 8, this configuration 10"));
    changed = small_campaign();
    changed.stages[1].base = "";
    CHECK(contains(refusal<IdentityMismatch>([&] {
                       const RunPlan plan{changed, campaign_facts(), campaign().snapshot()};
                   }),
                   "stage.4096.base: the history has \"2048\", this configuration none"));
}

TEST_CASE("another model of a stage is refused by its digest") {
    const RunHistory history = campaign().snapshot();
    CHECK(contains(refusal<IdentityMismatch>([&] {
                       const RunPlan plan{small_campaign(), campaign_facts("model 3"), history};
                   }),
                   "model digest of stage \"4096\": the history has model 2, this configuration "
                   "model 3"));
    CHECK(contains(refusal<IdentityMismatch>([&] {
                       const RunPlan plan{small_campaign(), small_facts(), history};
                   }),
                   "model digest of stage \"4096\": the history has model 2, this configuration "
                   "model 1"));
}

TEST_CASE("a base is not searched on once a stage builds on it") {
    Configuration more = small_campaign();
    more.stages[0].iterations = 3;
    CHECK(contains(refusal<IdentityMismatch>([&] {
                       const RunPlan plan{more, campaign_facts(), campaign().snapshot()};
                   }),
                   "stage \"4096\" of the history builds on the result of stage \"2048\", which "
                   "this configuration would search on"));
    CHECK_NOTHROW((RunPlan{more, campaign_facts(""), waiting_campaign()}));
}

TEST_CASE("estimates of a stage that has not begun need neither its base nor its model") {
    const RunPlan plan{small_campaign(), campaign_facts(""), std::nullopt};
    CHECK(plan.stages().size() == 1);
    const StagePlan second = plan.planned(1);
    CHECK(second.positions == 4096);
    CHECK(second.model_digest.empty());
    CHECK(second.baselines.size() == 12);
    CHECK(plan.planned(2).attention_scale == plan.planned(0).attention_scale);
    CHECK(plan.history_of(1).evaluations.documents.size() == 3);
}

TEST_CASE("a campaign's history is verified, and one whose base was edited is not") {
    RunHistory history = campaign().snapshot();
    const auto verified = verify(history);
    REQUIRE(verified.size() == 4);
    for (const VerifiedStage& stage : verified) CHECK(stage.complete);
    CHECK(verify(waiting_campaign()).size() == 1);

    const auto edited = [&history](const std::function<void(StageHistory&)>& edit) {
        RunHistory copy = history;
        edit(copy.stages[1]);
        return refusal<HistoryError>([&copy] { (void)verify(copy); });
    };
    CHECK(contains(edited([](StageHistory& stage) { stage.base.individual = 3; }),
                   "base has individual = 3, but "));
    CHECK(contains(edited([](StageHistory& stage) { stage.base.factors[2] += 1e-9; }),
                   "base has other factors than the result of stage \"2048\""));
    CHECK(contains(edited([](StageHistory& stage) { stage.base = {}; }),
                   "its base is \"\" with 0 factors, expected \"2048\" with 8"));
    CHECK(contains(edited([](StageHistory& stage) { stage.kind = "recovery"; }),
                   "it has kind = recovery, but search follows"));
    RunHistory weights = history;
    weights.stages[3].evaluations.document_weights[0] = 0.5;
    CHECK(contains(refusal<HistoryError>([&weights] { (void)verify(weights); }),
                   "evaluations/document_weight = 0.5, but 0.25 follows"));
}
