// SPDX-License-Identifier: Apache-2.0
#include "genome/reference_breeder.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <vector>

#include "genome/genome.hpp"

using longrope::genome::InvalidGenome;
using longrope::genome::RandomStream;
using longrope::genome::ReferenceBreeder;
using longrope::genome::ReferenceSpace;

namespace {

const ReferenceSpace space{.max_factor = 9.0};
const std::vector<double> seed{1.0, 1.5, 4.0, 8.0};

}  // namespace

TEST_CASE("the reference breeds from one vector, without start tokens") {
    ReferenceBreeder breeder{seed, space};
    CHECK(breeder.seeds() == 1);
    const auto first = breeder.breed_seed();
    CHECK(first.factors == seed);
    CHECK(first.start_tokens == 0);
    RandomStream random{1, "breeder test", 1};
    const auto mutant = breeder.breed_mutant(0, random);
    REQUIRE(mutant);
    CHECK_FALSE(mutant->factors == seed);
    CHECK(mutant->start_tokens == 0);
}

TEST_CASE("the reference mutates the better parent where a crossing finds nothing") {
    ReferenceBreeder breeder{seed, space};
    (void)breeder.breed_seed();
    RandomStream random{1, "breeder test", 1};
    const auto crossing = breeder.breed_crossover(0, 0, random);
    CHECK(crossing.mutated);
    REQUIRE(crossing.child);
    CHECK_FALSE(crossing.child->factors == seed);
}

TEST_CASE("the reference refuses seeds that its operators cannot work on") {
    const double infinity = std::numeric_limits<double>::infinity();
    for (const std::vector<double>& bad :
         {std::vector<double>{}, {1.0}, {2.0, 1.0}, {1.0, infinity}}) {
        CHECK_THROWS_AS((ReferenceBreeder{bad, space}), InvalidGenome);
    }
}
