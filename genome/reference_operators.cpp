// SPDX-License-Identifier: Apache-2.0
#include "genome/reference_operators.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstddef>
#include <limits>

namespace longrope::genome {

namespace {

constexpr int crossover_passes = 20;
constexpr double visit_probability = 0.3;
constexpr double copy_probability = 0.5;

bool is_new_and_sorted(const std::vector<double>& factors, const SeenFactors& seen) {
    return std::ranges::is_sorted(factors) && !seen.contains(factors);
}

/// Where the values that a factor may take begin, and what they stay below.
struct Values {
    double begin;
    double end;
};

Values values_of(std::size_t index, const std::vector<double>& factors,
                 const ReferenceSpace& space) {
    if (index == 0) return {1.0, factors[1]};
    const double begin = factors[index - 1];
    const bool last = index + 1 == factors.size();
    return {begin, (last ? space.max_factor : factors[index + 1]) + space.step};
}

void redraw(double& factor, const Values& values, double step, RandomStream& random) {
    constexpr double most = std::numeric_limits<std::uint32_t>::max();
    const double count = std::min(std::ceil((values.end - values.begin) / step), most);
    if (count < 1.0) return;
    factor = values.begin + step * random.uniform_integer(static_cast<std::uint32_t>(count));
}

}  // namespace

std::vector<double> reference_mutation(const std::vector<double>& parent,
                                       const ReferenceSpace& space, const SeenFactors& seen,
                                       RandomStream& random) {
    assert(parent.size() >= 2);
    std::vector<double> child = parent;
    for (std::uint32_t pass = 0; pass < space.max_passes; ++pass) {
        for (std::size_t index = 0; index < child.size(); ++index) {
            if (!random.happens(space.redraw_probability)) continue;
            redraw(child[index], values_of(index, child, space), space.step, random);
        }
        if (is_new_and_sorted(child, seen)) return child;
    }
    throw PassesExhausted{
        fmt::format("{} passes of mutation with probability {} gave no vector of factors that is "
                    "new and does not decrease",
                    space.max_passes, space.redraw_probability)};
}

std::optional<std::vector<double>> reference_crossover(const std::vector<double>& better,
                                                       const std::vector<double>& worse,
                                                       const SeenFactors& seen,
                                                       RandomStream& random) {
    assert(better.size() == worse.size());
    std::vector<double> child = better;
    for (int pass = 0; pass < crossover_passes; ++pass) {
        for (std::size_t index = 0; index < child.size(); ++index) {
            if (!random.happens(visit_probability)) continue;
            if (random.happens(copy_probability)) child[index] = worse[index];
            if (is_new_and_sorted(child, seen)) return child;
        }
    }
    return std::nullopt;
}

}  // namespace longrope::genome
