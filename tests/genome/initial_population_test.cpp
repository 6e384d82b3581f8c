// SPDX-License-Identifier: Apache-2.0
#include "genome/initial_population.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

#include "genome/named_baselines.hpp"

using longrope::genome::Genome;
using longrope::genome::InvalidGenome;
using longrope::genome::RotaryFacts;
using longrope::genome::SearchSpace;
using longrope::genome::seed_baselines;
using longrope::genome::seed_genomes;
using longrope::genome::seed_of_member;

TEST_CASE("seeds keep their order and are taken once each") {
    const SearchSpace space{2, 0.01, 3.0, {0, 4}};
    const std::vector<std::vector<double>> factors{
        {1.5, 2.0}, {1.0, 1.0}, {1.501, 1.999}, {1.0, 9.0}, {0.2, 1.0}};
    CHECK(seed_genomes(space, factors, 2048) ==
          std::vector<Genome>{{{50, 100}, 0}, {{0, 0}, 0}, {{0, 200}, 0}});
}

TEST_CASE("the seven published starting points of Llama 2 at 131072 tokens are distinct") {
    const RotaryFacts facts{.rotary_pairs = 64, .theta = 1e4, .original_window = 4096};
    std::vector<std::vector<double>> factors;
    for (const auto& seed : seed_baselines(facts, 131072)) factors.push_back(seed.factors);
    const SearchSpace space{64, 0.001, 40.0, {0}};
    const std::vector<Genome> seeds = seed_genomes(space, factors, 131072);
    CHECK(seeds.size() == 7);
    for (const Genome& seed : seeds) CHECK(space.contains(seed));
    CHECK(seeds[0] == Genome{std::vector<std::uint32_t>(64, 31000), 0});
}

TEST_CASE("later members mutate the seeds in turn") {
    CHECK(seed_of_member(3, 3) == 0);
    CHECK(seed_of_member(4, 3) == 1);
    CHECK(seed_of_member(5, 3) == 2);
    CHECK(seed_of_member(6, 3) == 0);
    CHECK(seed_of_member(63, 1) == 0);
}

TEST_CASE("a first population without a seed, or with one of another shape, is refused") {
    const SearchSpace space{2, 0.01, 3.0, {0}};
    CHECK_THROWS_AS((void)seed_genomes(space, {}, 2048), InvalidGenome);
    const std::vector<std::vector<double>> short_vector{{1.0}};
    CHECK_THROWS_AS((void)seed_genomes(space, short_vector, 2048), InvalidGenome);
}
