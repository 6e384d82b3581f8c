// SPDX-License-Identifier: Apache-2.0
#include "genome/selection.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <map>
#include <stdexcept>
#include <utility>
#include <vector>

using longrope::genome::best_by_score;
using longrope::genome::draw_pair;
using longrope::genome::RandomStream;

TEST_CASE("the best are sorted by score, ties by number, without those that are not finite") {
    const double infinity = std::numeric_limits<double>::infinity();
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const std::vector<double> scores{3.0, infinity, 1.0, 2.0, nan, 1.0, -infinity, 2.0};
    CHECK(best_by_score(scores, 3) == std::vector<std::uint32_t>{2, 5, 3});
    CHECK(best_by_score(scores, 100) == std::vector<std::uint32_t>{2, 5, 3, 7, 0});
    CHECK(best_by_score(scores, 0).empty());
    CHECK(best_by_score(std::vector{infinity, nan}, 5).empty());
}

TEST_CASE("pairs are two different ranks, better first, all equally likely") {
    std::map<std::pair<std::uint32_t, std::uint32_t>, int> counts;
    RandomStream random{0, "selection test", 0};
    for (int draw = 0; draw < 6000; ++draw) {
        const auto pair = draw_pair(4, random);
        REQUIRE(pair.better < pair.worse);
        REQUIRE(pair.worse < 4);
        ++counts[{pair.better, pair.worse}];
    }
    CHECK(counts.size() == 6);
    for (const auto& [pair, count] : counts) CHECK(std::abs(count - 1000) < 145);
    CHECK_THROWS_AS((void)draw_pair(1, random), std::domain_error);
}
