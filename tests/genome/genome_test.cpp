// SPDX-License-Identifier: Apache-2.0
#include "genome/genome.hpp"

#include <doctest/doctest.h>

#include <string>

using longrope::genome::Genome;
using longrope::genome::GenomeHash;
using longrope::genome::InvalidGenome;

TEST_CASE("a genome that decreases is refused, naming the index and both values") {
    try {
        const Genome genome{{0, 7, 5}, 0};
        FAIL("accepted");
    } catch (const InvalidGenome& error) {
        const std::string message = error.what();
        CHECK(message.find("grid step 5 at index 2") != std::string::npos);
        CHECK(message.find("7 at index 1") != std::string::npos);
    }
    CHECK_THROWS_AS((Genome{{}, 0}), InvalidGenome);
}

TEST_CASE("genomes compare and hash by content") {
    const Genome a{{0, 1, 2}, 4};
    const Genome b{{0, 1, 2}, 4};
    const Genome other_start{{0, 1, 2}, 8};
    const Genome other_step{{0, 2, 2}, 4};
    CHECK(a == b);
    CHECK(GenomeHash{}(a) == GenomeHash{}(b));
    CHECK_FALSE(a == other_start);
    CHECK_FALSE(a == other_step);
}
