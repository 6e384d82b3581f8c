// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_run.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string>

#include "coordinator/score_table.hpp"
#include "tests/coordinator/direct_run.hpp"
#include "tests/coordinator/small_run.hpp"

using namespace longrope::coordinator;

namespace {

const StageHistory& history_of(const RunPlan& plan) {
    return plan.stages().front().history();
}

/// Every third factor vector is not finite on its second document, or faults for good there.
std::optional<double> unlucky(const Job& job, std::uint32_t column) {
    const auto tail = static_cast<std::uint64_t>(std::llround(job.factors.back() * 1000.0));
    if (tail % 3 == 1 && column == 1) {
        if (tail % 2 == 0) return std::nullopt;
        return std::numeric_limits<double>::quiet_NaN();
    }
    return closed_form(job, column);
}

std::vector<std::string> names_in(const ScoreTable<ScoreRow>& table) {
    std::vector<std::string> names;
    for (const ScoreRow& row : table.rows) names.push_back(row.name);
    return names;
}

}  // namespace

TEST_CASE("a stage scores baselines and individuals, then validates, sweeps and reads heldout") {
    const RunPlan plan = finished_run(small_configuration());
    CHECK(plan.complete());
    const StageHistory& stage = history_of(plan);
    CHECK(stage.complete);
    CHECK(stage.evaluations.rows.size() == 8 + 3 * 6);
    CHECK(stage.generations.size() == 4);
    CHECK(names_in(stage.baselines).front() == "none");
    CHECK(stage.validation.rows.size() == stage.baselines.rows.size() + 8);
    CHECK(stage.start_token_sweep.rows.size() == 12);  // table 4's choices without 0 and 1
    CHECK(names_in(stage.heldout) ==
          std::vector<std::string>{"none", "pi", "ntk", "yarn", "searched"});
    CHECK(stage.best.chosen_by == "validation");
    CHECK(stage.best.iterations == 3);
    CHECK(stage.best.start_tokens == 20);
    CHECK(stage.heldout.rows.back().start_tokens == 20);
    CHECK(stage.heldout.rows.back().individual == stage.best.individual);
    for (std::size_t row = 0; row < stage.evaluations.rows.size(); ++row) {
        CHECK(stage.evaluations.rows[row].status == Status::done);
        CHECK(stage.evaluations.rows[row].tokens == 3 * 2047);
    }
}

TEST_CASE("a score is the token-weighted mean of its documents, and perplexity its exponential") {
    const RunPlan plan = finished_run(small_configuration());
    const ScoreTable<EvaluationRow>& table = history_of(plan).evaluations;
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        double sum = 0.0;
        const auto factors = factors_of(table, row);
        for (std::size_t column = 0; column < columns(table); ++column) {
            const double expected =
                closed_form_sum({factors.begin(), factors.end()}, 0, table.documents[column], 2048);
            CHECK(document_nll_of(table, row)[column] == expected);
            sum += expected;
        }
        CHECK(table.rows[row].mean_nll == sum / (3 * 2047.0));
        CHECK(table.rows[row].perplexity == std::exp(table.rows[row].mean_nll));
    }
}

TEST_CASE("the best is the best of the finalists on the validation documents") {
    const RunPlan plan = finished_run(small_configuration());
    const StageHistory& stage = history_of(plan);
    double lowest = std::numeric_limits<double>::infinity();
    std::int32_t best = -1;
    std::vector<double> finalists_on_search;
    for (const ScoreRow& row : stage.validation.rows) {
        if (row.individual < 0) continue;
        finalists_on_search.push_back(
            stage.evaluations.rows[static_cast<std::size_t>(row.individual)].mean_nll);
        if (row.mean_nll < lowest) {
            lowest = row.mean_nll;
            best = row.individual;
        }
    }
    CHECK(stage.best.individual == best);
    CHECK(std::ranges::is_sorted(finalists_on_search));
    const auto better = std::ranges::count_if(stage.evaluations.rows, [&](const auto& row) {
        return row.mean_nll < finalists_on_search.back();
    });
    CHECK(better == 7);
}

TEST_CASE("without validation documents the best of the search stands") {
    Configuration configuration = small_configuration();
    configuration.stages.front().start_tokens = "none";  // a sweep would have nothing to choose on
    RunFacts facts = small_facts();
    std::erase_if(facts.documents,
                  [](const DocumentFacts& document) { return document.split != "search"; });
    RunPlan plan{configuration, facts, std::nullopt};
    DirectRun{plan}.run();
    CHECK(plan.complete());
    const StageHistory& stage = history_of(plan);
    CHECK(stage.best.chosen_by == "search");
    CHECK(stage.validation.rows.empty());
    CHECK(stage.start_token_sweep.rows.empty());
    CHECK(stage.heldout.rows.empty());
    for (const EvaluationRow& row : stage.evaluations.rows) {
        CHECK(row.mean_nll >= stage.best.mean_nll);
    }
}

TEST_CASE("what a stage finds does not depend on the order in which scores arrive") {
    for (const Scorer& scorer : {Scorer{closed_form}, Scorer{unlucky}}) {
        const RunPlan in_order = finished_run(small_configuration(), std::nullopt, scorer);
        const std::string expected = found_digest({history_of(in_order)});
        for (std::uint64_t seed = 0; seed < 30; ++seed) {
            INFO("seed = ", seed);
            const RunPlan plan = finished_run(small_configuration(), std::nullopt, scorer, seed);
            CHECK(plan.complete());
            CHECK(found_digest({history_of(plan)}) == expected);
        }
    }
}

TEST_CASE("individuals that are not finite or fault for good are failed, and the search goes on") {
    const RunPlan plan = finished_run(small_configuration(), std::nullopt, unlucky);
    CHECK(plan.complete());
    const StageHistory& stage = history_of(plan);
    std::set<DocumentStatus> seen;
    std::size_t failed = 0;
    for (std::size_t row = 0; row < stage.evaluations.rows.size(); ++row) {
        if (stage.evaluations.rows[row].status != Status::failed) continue;
        ++failed;
        CHECK(std::isinf(stage.evaluations.rows[row].mean_nll));
        CHECK(std::isinf(stage.evaluations.rows[row].perplexity));
        for (std::size_t column = 0; column < 3; ++column) {
            seen.insert(cell_status(stage.evaluations, row, column));
            CHECK(cell_status(stage.evaluations, row, column) != DocumentStatus::missing);
        }
    }
    CHECK(failed > 0);
    CHECK(seen.contains(DocumentStatus::not_finite));
    CHECK(seen.contains(DocumentStatus::skipped));
    std::uint32_t counted = 0;
    for (const GenerationRow& generation : stage.generations) counted += generation.failed;
    CHECK(counted == failed);
    REQUIRE_FALSE(stage.failures.empty());
    CHECK(stage.failures.front().reason == "crashed");
    CHECK(stage.best.individual >= 0);
}

TEST_CASE("one function is evaluated once, also where two baselines are the same") {
    // In a window of 256 tokens YaRN's 64 fast turns are as good as its 32: one vector. PI alone
    // lies on the grid, so that it is the first individual besides.
    std::set<std::pair<std::vector<double>, std::pair<std::uint32_t, std::uint32_t>>> asked;
    const Scorer counting = [&asked](const Job& job, std::uint32_t column) {
        const bool fresh =
            asked.insert({job.factors, {job.start_tokens, job.documents.at(column)}}).second;
        CHECK((fresh || job.factors == std::vector<double>(8, 8.0)));
        return closed_form(job, column);
    };
    const RunPlan plan = finished_run(small_configuration(), std::nullopt, counting);
    const ScoreTable<ScoreRow>& baselines = history_of(plan).baselines;
    std::size_t twins = 0;
    for (std::size_t a = 0; a < baselines.rows.size(); ++a) {
        CHECK(baselines.rows[a].status == Status::done);
        for (std::size_t b = 0; b < a; ++b) {
            if (!std::ranges::equal(factors_of(baselines, a), factors_of(baselines, b))) continue;
            ++twins;
            CHECK(baselines.rows[a].mean_nll == baselines.rows[b].mean_nll);
        }
    }
    CHECK(twins > 0);
}

TEST_CASE("a stage where nothing is finite has no parents") {
    RunPlan plan{small_configuration(), small_facts(), std::nullopt};
    DirectRun run{plan, [](const Job&, std::uint32_t) { return std::optional{INFINITY}; }};
    CHECK_THROWS_AS(run.run(), NoParents);
}

TEST_CASE("the count of scores is what the history holds, at every moment") {
    RunPlan plan{small_configuration(), small_facts(), std::nullopt};
    DirectRun run{plan, unlucky, 3};
    do {
        CHECK(plan.stages().front().scored() == scores_in(history_of(plan)));
    } while (run.step());
    CHECK(plan.complete());
    CHECK(plan.restored() == 0);
}
