// SPDX-License-Identifier: Apache-2.0
#include "genome/breeding.hpp"

#include <doctest/doctest.h>

#include <cstdint>

using longrope::genome::breed_crossover;
using longrope::genome::breed_mutant;
using longrope::genome::Genome;
using longrope::genome::RandomStream;
using longrope::genome::SearchSpace;
using longrope::genome::SeenGenomes;

TEST_CASE("breeding fills a small space without repeating itself, then finds no child") {
    const SearchSpace space{2, 1.0, 3.0, {0, 1, 4}};
    const Genome parent{{0, 0}, 0};
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        INFO("seed = ", seed);
        SeenGenomes seen{2048};
        int exhausted = 0;
        for (std::uint32_t individual = 0; individual < 100; ++individual) {
            RandomStream random{seed, "breeding test", individual};
            const auto child = breed_mutant(parent, space, 0.3, seen, random);
            if (!child) {
                ++exhausted;
                continue;
            }
            REQUIRE(space.contains(*child));
            REQUIRE(seen.insert(*child));
        }
        // Six non-decreasing pairs of three values; all but the untouched one count twice, with 0
        // (or 1) start tokens and with 4.
        CHECK(seen.size() == 11);
        CHECK(exhausted == 89);
    }
}

TEST_CASE("a parent without redraws has children by wide mutation") {
    const SearchSpace space{4, 0.01, 4.0, {0}};
    const Genome parent{{0, 10, 20, 300}, 0};
    SeenGenomes seen{2048};
    seen.insert(parent);
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "breeding test", 0};
        const auto child = breed_mutant(parent, space, 0.0, seen, random);
        REQUIRE(child);
        CHECK_FALSE(*child == parent);
    }
}

TEST_CASE("a crossing that gives nothing new becomes a mutation of the better parent") {
    const SearchSpace space{4, 0.01, 4.0, {0}};
    const Genome twin{{0, 10, 20, 300}, 0};
    SeenGenomes seen{2048};
    seen.insert(twin);
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "breeding test", 0};
        const auto child = breed_crossover(twin, twin, space, 0.3, seen, random);
        REQUIRE(child);
        CHECK(child->mutated);
        CHECK_FALSE(seen.contains(child->genome));
    }
}

TEST_CASE("different parents are crossed, not mutated") {
    const SearchSpace space{4, 0.01, 4.0, {0}};
    const Genome better{{0, 10, 20, 300}, 0};
    const Genome worse{{5, 15, 25, 290}, 0};
    SeenGenomes seen{2048};
    seen.insert(better);
    seen.insert(worse);
    for (std::uint32_t seed = 0; seed < 100; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "breeding test", 0};
        const auto child = breed_crossover(better, worse, space, 0.3, seen, random);
        REQUIRE(child);
        CHECK_FALSE(child->mutated);
        CHECK_FALSE(seen.contains(child->genome));
    }
}
