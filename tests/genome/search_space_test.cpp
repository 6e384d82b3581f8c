// SPDX-License-Identifier: Apache-2.0
#include "genome/search_space.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "genome/random_stream.hpp"

using longrope::genome::Genome;
using longrope::genome::InvalidGenome;
using longrope::genome::RandomStream;
using longrope::genome::SearchSpace;

TEST_CASE("the grid ends at the last step that is not above the largest factor") {
    struct Row {
        double grid_step;
        double max_factor;
        std::uint32_t expected;
    };
    for (const Row& row : {Row{0.01, 5.0, 400}, Row{0.01, 10.0, 900}, Row{0.001, 40.0, 39000},
                           Row{0.001, 10.0, 9000}, Row{0.01, 1.014, 1}, Row{0.3, 2.0, 3}}) {
        INFO("step ", row.grid_step, " up to ", row.max_factor);
        CHECK(SearchSpace(2, row.grid_step, row.max_factor, {0}).max_grid_step() == row.expected);
    }
}

TEST_CASE("a largest factor of 1 or less leaves a single point") {
    for (const double max_factor : {1.0, 0.5, 1.0005}) {
        INFO("largest factor ", max_factor);
        const SearchSpace space{3, 0.001, max_factor, {0, 4}};
        CHECK(space.is_single_point());
        CHECK(space.nearest(std::vector{1.0, 2.0, 3.0}, 0) == Genome{{0, 0, 0}, 0});
    }
    CHECK_FALSE(SearchSpace(3, 0.001, 1.001, {0}).is_single_point());
}

TEST_CASE("a space that cannot exist is refused") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK_THROWS_AS(SearchSpace(0, 0.01, 2.0, {0}), InvalidGenome);
    CHECK_THROWS_AS(SearchSpace(2, 0.0, 2.0, {0}), InvalidGenome);
    CHECK_THROWS_AS(SearchSpace(2, nan, 2.0, {0}), InvalidGenome);
    CHECK_THROWS_AS(SearchSpace(2, 0.01, nan, {0}), InvalidGenome);
    CHECK_THROWS_AS(SearchSpace(2, 0.01, infinity, {0}), InvalidGenome);
    CHECK_THROWS_AS(SearchSpace(2, 1e-12, 1e6, {0}), InvalidGenome);
    CHECK_THROWS_AS(SearchSpace(2, 0.01, 2.0, {}), InvalidGenome);
    CHECK_THROWS_WITH_AS(SearchSpace(2, 0.01, 2.0, {4, 0, 4}), "4 start tokens are a choice twice",
                         InvalidGenome);
}

TEST_CASE("factors of a genome come back as the same genome") {
    for (const double grid_step : {0.001, 0.01, 0.037}) {
        const SearchSpace space{16, grid_step, 40.0, {0, 2, 8}};
        for (std::uint32_t seed = 0; seed < 200; ++seed) {
            INFO("grid step ", grid_step, ", seed = ", seed);
            RandomStream random{seed, "search space test", 0};
            std::vector<std::uint32_t> steps(16);
            for (auto& step : steps) step = random.uniform_integer(space.max_grid_step() + 1);
            std::ranges::sort(steps);
            const Genome genome{steps, 8};
            REQUIRE(space.contains(genome));
            CHECK(space.nearest(space.factors(genome), 8) == genome);
        }
    }
}

TEST_CASE("the nearest genome is clamped, rounded and made non-decreasing") {
    const SearchSpace space{6, 0.01, 3.0, {0, 4}};
    const double infinity = std::numeric_limits<double>::infinity();
    CHECK(space.nearest(std::vector{0.5, 1.004, 1.5, 1.2, 3.7, infinity}, 0) ==
          Genome{{0, 0, 50, 50, 200, 200}, 0});
    CHECK(space.nearest(std::vector{1.0, 1.006, 1.0, 1.0, 1.0, 1.0}, 0) ==
          Genome{{0, 1, 1, 1, 1, 1}, 0});
}

TEST_CASE("the nearest genome takes the nearest choice of start tokens, the smaller of two") {
    const SearchSpace space{1, 0.01, 3.0, {8, 0, 4}};
    const std::vector factors{2.0};
    CHECK(space.nearest(factors, 4).start_tokens() == 4);
    CHECK(space.nearest(factors, 2).start_tokens() == 0);
    CHECK(space.nearest(factors, 7).start_tokens() == 8);
    CHECK(space.nearest(factors, 4000000000U).start_tokens() == 8);
}

TEST_CASE("factors that fit no genome are refused") {
    const SearchSpace space{2, 0.01, 3.0, {0}};
    CHECK_THROWS_AS((void)space.nearest(std::vector{1.0}, 0), InvalidGenome);
    CHECK_THROWS_AS((void)space.nearest(std::vector{1.0, std::nan("")}, 0), InvalidGenome);
    CHECK_THROWS_AS((void)space.factors(Genome{{0, 201}, 0}), InvalidGenome);
}

TEST_CASE("a space contains what has its shape, its bound and its start tokens") {
    const SearchSpace space{2, 0.01, 3.0, {0, 4}};
    CHECK(space.contains(Genome{{0, 200}, 4}));
    CHECK_FALSE(space.contains(Genome{{0, 201}, 4}));
    CHECK_FALSE(space.contains(Genome{{0, 200}, 2}));
    CHECK_FALSE(space.contains(Genome{{0, 0, 200}, 4}));
}
