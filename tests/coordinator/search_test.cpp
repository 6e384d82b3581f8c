// SPDX-License-Identifier: Apache-2.0
#include "coordinator/search.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "tests/coordinator/small_search.hpp"

using namespace longrope::coordinator;  // a test of its Search
using longrope::genome::InvalidGenome;
using longrope::genome::SearchSpace;

TEST_CASE("a generation waits for the one before") {
    Search search{small_settings(5)};
    for (int member = 0; member < 16; ++member) REQUIRE(search.next());
    CHECK_FALSE(search.next());
    for (std::uint32_t number = 1; number < 16; ++number) {
        search.commit(number, {Status::done, 3.0 + number});
        CHECK_FALSE(search.next());
    }
    CHECK(search.committed() == 15);
    search.commit(0, {Status::done, 3.0});
    CHECK(search.next());
    CHECK(search.bred() == 17);
    CHECK_FALSE(search.finished());
}

TEST_CASE("the best are sorted by score, then by number, without failed ones") {
    Search search{small_settings(5)};
    for (int member = 0; member < 5; ++member) REQUIRE(search.next());
    CHECK(search.best(3).empty());
    search.commit(4, {Status::done, 2.0});
    search.commit(1, {Status::done, 2.0});
    search.commit(0, {Status::failed, 0.0});
    search.commit(2, {Status::done, 1.0});
    CHECK(search.best(2) == std::vector<std::uint32_t>{2, 1});
    CHECK(search.best(9) == std::vector<std::uint32_t>{2, 1, 4});
    CHECK(search.mean_nll(2) == std::optional{1.0});
    CHECK_FALSE(search.mean_nll(0));
    CHECK_FALSE(search.mean_nll(3));
    CHECK(search.status(0) == Status::failed);
    CHECK(search.status(3) == Status::pending);
}

TEST_CASE("a search without two finite parents stops") {
    for (const std::uint32_t survivors : {0U, 1U, 2U}) {
        INFO("survivors: ", survivors);
        Search search{small_settings(5)};
        while (const auto individual = search.next()) {
            const bool done = individual->number < survivors;
            search.commit(individual->number, {done ? Status::done : Status::failed, 3.0});
            if (individual->number == 15) break;
        }
        if (survivors < 2) {
            CHECK_THROWS_AS((void)search.next(), NoParents);
            CHECK(search.bred() == 16);
        } else {
            CHECK(search.next());
        }
    }
}

TEST_CASE("results that cannot be are refused") {
    Search search{small_settings(5)};
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(search.commit(0, {Status::done, 3.0}), std::logic_error);
    REQUIRE(search.next());
    CHECK_THROWS_AS(search.commit(0, {Status::done, infinity}), std::logic_error);
    CHECK_THROWS_AS(search.commit(0, {Status::done, std::nan("")}), std::logic_error);
    CHECK_THROWS_AS(search.commit(0, {Status::pending, 3.0}), std::logic_error);
    CHECK_THROWS_AS(search.commit(0, {Status::skipped, 3.0}), std::logic_error);
    CHECK_THROWS_AS(search.commit(1, {Status::done, 3.0}), std::logic_error);
    search.commit(0, {Status::done, 3.0});
    CHECK_THROWS_AS(search.commit(0, {Status::done, 3.0}), std::logic_error);
    CHECK_THROWS_AS((void)search.individual(1), std::out_of_range);
    CHECK_THROWS_AS((void)search.mean_nll(1), std::out_of_range);
}

TEST_CASE("an exhausted space leaves skipped individuals, and the search still ends") {
    SearchSettings settings = small_settings(5);
    settings.space = SearchSpace{1, 1.0, 5.0, {0}};  // five functions
    settings.seed_factors = {{1.0}, {5.0}};
    const Search search = run_in_order(settings);
    CHECK(search.finished());
    CHECK(search.committed() == search.total());
    int evaluated = 0;
    for (std::uint32_t number = 0; number < search.total(); ++number) {
        const bool skipped = search.status(number) == Status::skipped;
        CHECK(search.individual(number).candidate.has_value() == !skipped);
        CHECK(search.factors(number).size() == (skipped ? 0 : 1));
        if (!skipped) ++evaluated;
    }
    CHECK(evaluated == 5);
}

TEST_CASE("settings that make no search are refused") {
    const auto refused = [](auto change) {
        SearchSettings settings = small_settings(5);
        change(settings);
        Search search{std::move(settings)};
    };
    CHECK_THROWS_AS(refused([](auto& s) { s.parents = 1; }), std::invalid_argument);
    CHECK_THROWS_AS(refused([](auto& s) { s.parents = 17; }), std::invalid_argument);
    CHECK_THROWS_AS(refused([](auto& s) { s.population = 0; }), std::invalid_argument);
    CHECK_THROWS_AS(refused([](auto& s) { s.mutation_probability = 1.5; }), std::invalid_argument);
    CHECK_THROWS_AS(refused([](auto& s) { s.seed_factors.clear(); }), InvalidGenome);
    CHECK_THROWS_AS(refused([](auto& s) { s.seed_factors[1].pop_back(); }), InvalidGenome);
    CHECK_THROWS_AS(refused([](auto& s) {
                        s.space = SearchSpace{pairs, 0.001, 1.0, {0}};
                    }),
                    InvalidGenome);
}

TEST_CASE("a search with a base breeds multipliers of it") {
    SearchSettings settings = small_settings(3);
    const Search plain = run_in_order(settings);
    for (std::size_t i = 0; i < pairs; ++i) {
        settings.base_factors.push_back(1.0 + 0.25 * static_cast<double>(i));
    }
    const Search based{settings};
    CHECK(based.settings().base_factors == settings.base_factors);
    Search bred{settings};
    for (std::uint32_t number = 0; number < settings.population; ++number) {
        const auto individual = bred.next();
        REQUIRE(individual);
        REQUIRE(individual->candidate);
        // The first population depends on no score: it is the plain one, times the base.
        const std::vector<double> multipliers = plain.factors(number);
        CHECK(individual->candidate->start_tokens ==
              plain.individual(number).candidate->start_tokens);
        for (std::size_t i = 0; i < pairs; ++i) {
            CHECK(bred.factors(number)[i] == multipliers[i] * settings.base_factors[i]);
        }
    }
    settings.base_factors.pop_back();
    CHECK_THROWS_WITH_AS(Search{settings}, "a base of 15 factors for a space of 16",
                         std::invalid_argument);
}
