// SPDX-License-Identifier: Apache-2.0
#include "genome/seen_factors.hpp"

#include <doctest/doctest.h>

#include <vector>

using longrope::genome::SeenFactors;

TEST_CASE("a vector is seen if every factor is as close as the published code asks for") {
    SeenFactors seen;
    CHECK_FALSE(seen.contains(std::vector{1.0, 8.0}));
    seen.insert({1.0, 8.0});
    seen.insert({1.0, 16.0});
    struct Row {
        std::vector<double> factors;
        bool seen;
    };
    // The tolerance at 8 is 8.001e-5, at 1 it is 1.001e-5.
    const std::vector<Row> rows{
        {{1.0, 8.0}, true},     {{1.0, 16.0}, true},      {{1.0, 8.00008}, true},
        {{1.0, 7.99992}, true}, {{1.0, 8.000081}, false}, {{1.0, 12.0}, false},
        {{1.00001, 8.0}, true}, {{1.00002, 8.0}, false},  {{1.00001, 15.9999}, true}};
    for (const Row& row : rows) {
        INFO(row.factors[0], ", ", row.factors[1]);
        CHECK(seen.contains(row.factors) == row.seen);
    }
}
