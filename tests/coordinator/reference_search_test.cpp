// SPDX-License-Identifier: Apache-2.0
// What a whole search with the published code's operators does.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <utility>
#include <vector>

#include "coordinator/search.hpp"
#include "coordinator/stage_plan.hpp"
#include "genome/baseline_factors.hpp"
#include "tests/coordinator/small_search.hpp"

using namespace longrope::coordinator;  // a test of its Search
using longrope::genome::InvalidGenome;
using longrope::genome::SearchSpace;

namespace {

std::vector<double> ramp() {
    return longrope::genome::ramp_factors(
        {.rotary_pairs = pairs, .theta = 10000.0, .original_window = 256}, 256 * extension);
}

SearchSettings reference_settings(std::uint64_t seed) {
    SearchSettings settings = small_settings(seed);
    settings.method = Method::reference;
    settings.space = SearchSpace{pairs, 0.01, 1.0 + extension, {0}};
    settings.seed_factors = {ramp()};
    return settings;
}

}  // namespace

TEST_CASE("the reference starts from the ramp and its mutations alone") {
    for (std::uint32_t seed = 0; seed < 10; ++seed) {
        INFO("seed = ", seed);
        const Search search = run_in_order(reference_settings(seed));
        REQUIRE(search.finished());
        CHECK(search.individual(0).origin == Origin::seed);
        CHECK(search.factors(0) == ramp());
        for (std::uint32_t number = 1; number < 16; ++number) {
            CHECK(search.individual(number).origin == Origin::initial_mutation);
            CHECK(search.individual(number).parent_a == 0);
        }
        for (std::uint32_t number = 0; number < search.total(); ++number) {
            INFO("individual ", number);
            CHECK(std::ranges::is_sorted(search.factors(number)));
            CHECK(search.factors(number).back() < 9.01);
            CHECK(search.individual(number).candidate.value().start_tokens == 0);
        }
    }
}

TEST_CASE("the reference does not depend on the order in which results arrive") {
    const Search in_order = run_in_order(reference_settings(3));
    Search backwards{reference_settings(3)};
    std::vector<std::uint32_t> out;
    while (!backwards.finished()) {
        if (const auto individual = backwards.next()) {
            out.push_back(individual->number);
            continue;
        }
        backwards.commit(out.back(), evaluate(backwards, out.back()));
        out.pop_back();
    }
    for (std::uint32_t number = 0; number < in_order.total(); ++number) {
        INFO("individual ", number);
        CHECK(in_order.factors(number) == backwards.factors(number));
        CHECK(in_order.individual(number).parent_a == backwards.individual(number).parent_a);
        CHECK(in_order.individual(number).parent_b == backwards.individual(number).parent_b);
    }
}

TEST_CASE("the reference's trajectory of a stored history stays the same") {
    // Recorded; another value means that runs begun with earlier versions cannot be resumed.
    const Search search = run_in_order(reference_settings(42));
    std::uint64_t digest = 0;
    for (std::uint32_t number = 0; number < search.total(); ++number) {
        for (const double factor : search.factors(number)) {
            digest = digest * 1099511628211ULL + std::bit_cast<std::uint64_t>(factor);
        }
    }
    CHECK(digest == 4803613342668975016ULL);
}

TEST_CASE("the reference refuses more than one seed") {
    SearchSettings settings = reference_settings(0);
    settings.seed_factors.push_back(ramp());
    CHECK_THROWS_AS(Search{std::move(settings)}, InvalidGenome);
}

TEST_CASE("a stage of the method \"reference\" is planned with its seed and space") {
    Configuration configuration;
    StageSettings stage;
    stage.name = "long";
    stage.target_tokens = 2048;
    stage.method = "reference";
    stage.grid_step = 0.01;
    stage.bound = "1+s";
    stage.start_tokens = "none";
    RunFacts facts;
    facts.rotary_pairs = pairs;
    facts.theta = 10000.0;
    facts.original_window = 256;
    for (const char* split : {"search", "validation", "heldout"}) {
        facts.documents.push_back({split, split, 2048});
    }
    const StagePlan plan = plan_stage(configuration, stage, facts);
    CHECK(plan.search.method == Method::reference);
    REQUIRE(plan.search.seed_factors.size() == 1);
    CHECK(plan.search.seed_factors.front() == ramp());
    CHECK(plan.search.space.max_factor() == 9.0);
    CHECK(plan.search.space.grid_step() == 0.01);
    CHECK(plan.search.space.start_token_choices().size() == 1);
    CHECK(plan.swept_start_tokens.empty());
    CHECK(plan.baselines.size() == 8);  // the same as for the method "paper"
}
