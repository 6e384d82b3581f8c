// SPDX-License-Identifier: Apache-2.0
#include "genome/seen_genomes.hpp"

#include <doctest/doctest.h>

using longrope::genome::canonical;
using longrope::genome::Genome;
using longrope::genome::Multiplied;
using longrope::genome::SeenGenomes;

TEST_CASE("genomes that rotate every position alike have one canonical genome") {
    const Genome untouched{{0, 0, 0}, 0};
    CHECK(canonical(Genome{{0, 5, 9}, 1}, 2048) == Genome{{0, 5, 9}, 0});
    CHECK(canonical(Genome{{0, 0, 0}, 16}, 2048) == untouched);
    CHECK(canonical(Genome{{0, 5, 9}, 2048}, 2048) == untouched);
    CHECK(canonical(Genome{{0, 5, 9}, 4096}, 2048) == untouched);
    CHECK(canonical(Genome{{0, 5, 9}, 2047}, 2048) == Genome{{0, 5, 9}, 2047});
    CHECK(canonical(Genome{{0, 5, 9}, 2}, 2048) == Genome{{0, 5, 9}, 2});
}

TEST_CASE("a genome is seen once any genome of the same function is") {
    SeenGenomes seen{2048};
    CHECK(seen.insert(Genome{{0, 5}, 1}));
    CHECK(seen.contains(Genome{{0, 5}, 0}));
    CHECK_FALSE(seen.insert(Genome{{0, 5}, 0}));
    CHECK_FALSE(seen.contains(Genome{{0, 5}, 2}));
    CHECK(seen.insert(Genome{{0, 0}, 8}));
    CHECK_FALSE(seen.insert(Genome{{3, 7}, 2048}));
    CHECK(seen.size() == 2);
}

TEST_CASE("a multiplier of 1 on factors of a base still rescales, so that start tokens count") {
    const Genome ones{{0, 0, 0}, 0};
    const Genome with_start_tokens{{0, 0, 0}, 4};
    CHECK(canonical(with_start_tokens, 2048) == ones);
    CHECK(canonical(with_start_tokens, 2048, Multiplied::rescaled) == with_start_tokens);
    CHECK(canonical(Genome{{0, 0, 0}, 1}, 2048, Multiplied::rescaled) == ones);
    // Nothing is rescaled where every position is a start token, whatever the factors.
    const Genome untouched = canonical(Genome{{0, 1, 2}, 256}, 256, Multiplied::rescaled);
    CHECK(untouched == canonical(Genome{{3, 4, 5}, 300}, 256, Multiplied::rescaled));
    CHECK(untouched != ones);
    SeenGenomes seen{2048, Multiplied::rescaled};
    CHECK(seen.insert(ones));
    CHECK(seen.insert(with_start_tokens));
    CHECK_FALSE(seen.insert(Genome{{0, 0, 0}, 1}));
}
