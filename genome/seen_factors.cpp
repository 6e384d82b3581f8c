// SPDX-License-Identifier: Apache-2.0
#include "genome/seen_factors.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace longrope::genome {

namespace {

constexpr double relative_tolerance = 1e-5;
constexpr double absolute_tolerance = 1e-8;

}  // namespace

bool SeenFactors::contains(std::span<const double> factors) const {
    const auto close = [](double factor, double seen) {
        return std::abs(factor - seen) <= absolute_tolerance + relative_tolerance * std::abs(seen);
    };
    return std::ranges::any_of(vectors_, [&](const std::vector<double>& seen) {
        return std::ranges::equal(factors, seen, close);
    });
}

void SeenFactors::insert(std::vector<double> factors) {
    vectors_.push_back(std::move(factors));
}

}  // namespace longrope::genome
