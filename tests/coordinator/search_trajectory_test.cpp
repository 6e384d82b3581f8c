// SPDX-License-Identifier: Apache-2.0
// What a whole search does, over many seeds; search_test.cpp has its single steps.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <tuple>
#include <utility>
#include <vector>

#include "coordinator/search.hpp"
#include "genome/genome.hpp"
#include "genome/random_stream.hpp"
#include "genome/seen_genomes.hpp"
#include "tests/coordinator/small_search.hpp"

using namespace longrope::coordinator;  // a test of its Search
using longrope::genome::Genome;
using longrope::genome::GenomeHash;
using longrope::genome::RandomStream;
using longrope::genome::SeenGenomes;

namespace {

/// Breeds and commits until all is done, choosing at random between the two and among the results
/// that are out.
Search run_shuffled(SearchSettings settings, std::uint32_t order_seed) {
    Search search{std::move(settings)};
    RandomStream random{order_seed, "order of arrival", 0};
    std::vector<std::uint32_t> out;
    while (!search.finished()) {
        if (out.empty() || random.happens(0.6)) {
            if (const auto individual = search.next()) {
                if (individual->candidate) out.push_back(individual->number);
                continue;
            }
        }
        if (out.empty()) continue;
        const std::uint32_t chosen = random.uniform_integer(static_cast<std::uint32_t>(out.size()));
        std::swap(out[chosen], out.back());
        search.commit(out.back(), evaluate(search, out.back()));
        out.pop_back();
    }
    return search;
}

/// The point of the grid that an individual of the method "paper" is.
Genome genome_of(const Search& search, std::uint32_t number) {
    const auto& candidate = search.individual(number).candidate.value();
    return search.settings().space.nearest(candidate.factors, candidate.start_tokens);
}

auto content(const Individual& individual) {
    return std::tie(individual.number, individual.generation, individual.origin,
                    individual.parent_a, individual.parent_b, individual.frontier,
                    individual.candidate);
}

void check_same_trajectory(const Search& a, const Search& b, std::uint32_t count) {
    for (std::uint32_t number = 0; number < count; ++number) {
        INFO("individual ", number);
        CHECK((content(a.individual(number)) == content(b.individual(number))));
        CHECK(a.mean_nll(number) == b.mean_nll(number));
    }
}

}  // namespace

TEST_CASE("a search does not depend on the order in which results arrive") {
    for (std::uint32_t seed = 0; seed < 40; ++seed) {
        INFO("seed = ", seed);
        const Search reference = run_in_order(small_settings(seed));
        REQUIRE(reference.finished());
        for (std::uint32_t order = 0; order < 3; ++order) {
            INFO("order = ", order);
            const Search shuffled = run_shuffled(small_settings(seed), order);
            check_same_trajectory(reference, shuffled, reference.total());
            CHECK(reference.best(8) == shuffled.best(8));
        }
    }
}

TEST_CASE("more iterations continue the same trajectory") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        INFO("seed = ", seed);
        SearchSettings longer = small_settings(seed);
        longer.iterations = 9;
        const Search short_search = run_in_order(small_settings(seed));
        const Search long_search = run_in_order(longer);
        CHECK(long_search.total() == 16 + 9 * 12);
        check_same_trajectory(short_search, long_search, short_search.total());
    }
}

TEST_CASE("searches of another seed or stage breed other individuals") {
    const Search search = run_in_order(small_settings(1));
    SearchSettings other_stage = small_settings(1);
    other_stage.stage_name = "another stage";
    for (const SearchSettings& other : {small_settings(2), other_stage}) {
        const Search changed = run_in_order(other);
        CHECK(search.individual(0).candidate == changed.individual(0).candidate);  // a seed
        CHECK_FALSE(search.individual(15).candidate == changed.individual(15).candidate);
    }
}

TEST_CASE("the trajectory of a stored history stays the same") {
    // Recorded; another value means that runs begun with earlier versions cannot be resumed.
    const Search search = run_in_order(small_settings(42));
    std::uint64_t digest = 0;
    for (std::uint32_t number = 0; number < search.total(); ++number) {
        const std::uint64_t hash = GenomeHash{}(genome_of(search, number));
        digest = digest * 1099511628211ULL + hash;
    }
    CHECK(digest == 14865401766671582392ULL);
}

TEST_CASE("no function is evaluated twice") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        INFO("seed = ", seed);
        const Search search = run_in_order(small_settings(seed));
        SeenGenomes seen{2048};
        for (std::uint32_t number = 0; number < search.total(); ++number) {
            const Genome genome = genome_of(search, number);
            CHECK(search.settings().space.factors(genome) == search.factors(number));
            CHECK(seen.insert(genome));
        }
    }
}

TEST_CASE("individuals carry where they come from") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        const Search search = run_in_order(small_settings(seed));
        for (std::uint32_t number = 0; number < search.total(); ++number) {
            INFO("seed = ", seed, ", individual ", number);
            const Individual& individual = search.individual(number);
            CHECK(individual.number == number);
            CHECK(individual.frontier == search.schedule().frontier(number));
            CHECK(individual.generation == search.schedule().generation_of(number));
            if (number < distinct_seeds) {
                CHECK(individual.origin == Origin::seed);
                CHECK(individual.parent_a == -1);
            } else if (number < 16) {
                CHECK(individual.origin == Origin::initial_mutation);
                CHECK(individual.parent_a ==
                      static_cast<std::int32_t>((number - distinct_seeds) % distinct_seeds));
            } else {
                const bool crossed = individual.origin == Origin::crossover;
                CHECK((crossed || individual.origin == Origin::mutation));
                CHECK((individual.parent_b >= 0) == crossed);
                if (search.schedule().is_mutation(number)) CHECK_FALSE(crossed);
                CHECK(individual.parent_a >= 0);
                CHECK(individual.parent_a < static_cast<std::int32_t>(individual.frontier));
                CHECK(individual.parent_b < static_cast<std::int32_t>(individual.frontier));
            }
        }
    }
}

TEST_CASE("parents are the best that the frontier shows, and never failed ones") {
    const Search search = run_in_order(small_settings(3));
    for (std::uint32_t number = 16; number < search.total(); ++number) {
        INFO("individual ", number);
        const Individual& individual = search.individual(number);
        for (const std::int32_t parent : {individual.parent_a, individual.parent_b}) {
            if (parent < 0) continue;
            const auto score = search.mean_nll(static_cast<std::uint32_t>(parent));
            REQUIRE(score);
            int better = 0;
            for (std::uint32_t other = 0; other < individual.frontier; ++other) {
                if (search.mean_nll(other) && *search.mean_nll(other) < *score) ++better;
            }
            CHECK(better < 8);
        }
    }
}

TEST_CASE("the search improves clearly on its seeds") {
    for (std::uint32_t seed = 0; seed < 5; ++seed) {
        INFO("seed = ", seed);
        SearchSettings settings = small_settings(seed);
        settings.population = 64;
        settings.parents = 32;
        settings.mutations = 16;
        settings.crossovers = 16;
        settings.iterations = 40;
        Search search{settings};
        while (const auto individual = search.next()) {
            search.commit(individual->number,
                          {Status::done, landscape(search.factors(individual->number))});
        }
        double best_seed = std::numeric_limits<double>::infinity();
        for (std::uint32_t number = 0; number < distinct_seeds; ++number) {
            best_seed = std::min(best_seed, *search.mean_nll(number));
        }
        const double found = *search.mean_nll(search.best(1).front());
        CHECK(found - 3.0 < 0.1 * (best_seed - 3.0));
    }
}
