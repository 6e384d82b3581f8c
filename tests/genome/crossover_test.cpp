// SPDX-License-Identifier: Apache-2.0
#include "genome/crossover.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

using longrope::genome::crossover;
using longrope::genome::Genome;
using longrope::genome::InvalidGenome;
using longrope::genome::RandomStream;

namespace {

Genome random_genome(std::size_t dimensions, RandomStream& random) {
    std::vector<std::uint32_t> steps(dimensions);
    for (auto& step : steps) step = random.uniform_integer(1000);
    std::ranges::sort(steps);
    return Genome{std::move(steps), 4 * random.uniform_integer(3)};
}

}  // namespace

TEST_CASE("every gene of a crossover child comes from a parent, and the order is kept") {
    for (const std::size_t dimensions : {1U, 2U, 3U, 16U, 64U}) {
        for (std::uint32_t seed = 0; seed < 300; ++seed) {
            INFO("D = ", dimensions, ", seed = ", seed);
            RandomStream random{seed, "crossover test", 0};
            const Genome a = random_genome(dimensions, random);
            const Genome b = random_genome(dimensions, random);
            const Genome child = crossover(a, b, random);
            CHECK(std::ranges::is_sorted(child.grid_steps()));
            for (std::size_t i = 0; i < dimensions; ++i) {
                const std::uint32_t step = child.grid_steps()[i];
                CHECK((step == a.grid_steps()[i] || step == b.grid_steps()[i]));
            }
            const std::uint32_t tokens = child.start_tokens();
            CHECK((tokens == a.start_tokens() || tokens == b.start_tokens()));
        }
    }
}

TEST_CASE("equal streams give equal crossover children") {
    for (std::uint32_t seed = 0; seed < 200; ++seed) {
        INFO("seed = ", seed);
        RandomStream parents{seed, "crossover test", 0};
        const Genome a = random_genome(16, parents);
        const Genome b = random_genome(16, parents);
        RandomStream first{seed, "crossover test", 1};
        RandomStream second{seed, "crossover test", 1};
        CHECK(crossover(a, b, first) == crossover(a, b, second));
    }
}

TEST_CASE("a crossover of a genome with itself is that genome") {
    const Genome genome{{0, 5, 9, 40}, 8};
    for (std::uint32_t seed = 0; seed < 50; ++seed) {
        RandomStream random{seed, "crossover test", 0};
        CHECK(crossover(genome, genome, random) == genome);
    }
}

TEST_CASE("parents that only a cut can combine still have children of both") {
    // The lower parent must lead: any other mixture decreases.
    const Genome low{{1, 2, 3, 4}, 0};
    const Genome high{{11, 12, 13, 14}, 0};
    std::set<std::vector<std::uint32_t>> children;
    for (std::uint32_t seed = 0; seed < 1000; ++seed) {
        RandomStream random{seed, "crossover test", 0};
        const Genome child = crossover(high, low, random);
        children.insert({child.grid_steps().begin(), child.grid_steps().end()});
    }
    const std::set<std::vector<std::uint32_t>> expected{
        {1, 2, 3, 4}, {1, 2, 3, 14}, {1, 2, 13, 14}, {1, 12, 13, 14}, {11, 12, 13, 14}};
    CHECK(children == expected);
}

TEST_CASE("genomes of different shapes are not crossed") {
    RandomStream random{0, "crossover test", 0};
    CHECK_THROWS_AS((void)crossover(Genome{{1, 2}, 0}, Genome{{1}, 0}, random), InvalidGenome);
}
