// SPDX-License-Identifier: Apache-2.0
#include "genome/crossover.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace longrope::genome {

namespace {

using StepView = std::span<const std::uint32_t>;

/// The factors of `head` before `index`, those of `tail` from there on.
struct Cut {
    StepView head;
    StepView tail;
    std::size_t index;
};

/// At each index one of the two cuts is possible: a[i-1] > b[i] means b[i-1] <= b[i] < a[i-1] <=
/// a[i].
/// @param a, b  non-decreasing, shape [D], D >= 2
std::vector<std::uint32_t> cut_crossover(StepView a, StepView b, RandomStream& random) {
    std::vector<Cut> cuts;
    for (std::size_t index = 1; index < a.size(); ++index) {
        if (a[index - 1] <= b[index]) cuts.push_back({a, b, index});
        if (b[index - 1] <= a[index]) cuts.push_back({b, a, index});
    }
    const Cut& cut = cuts[random.uniform_integer(static_cast<std::uint32_t>(cuts.size()))];
    std::vector<std::uint32_t> steps{cut.head.begin(), cut.head.end()};
    std::ranges::copy(cut.tail.subspan(cut.index),
                      steps.begin() + static_cast<std::ptrdiff_t>(cut.index));
    return steps;
}

}  // namespace

Genome crossover(const Genome& a, const Genome& b, RandomStream& random) {
    if (a.dimensions() != b.dimensions()) {
        throw InvalidGenome{fmt::format("cannot cross genomes of {} and {} rescale factors",
                                        a.dimensions(), b.dimensions())};
    }
    const auto from_b = [&random] { return random.uniform_integer(2) == 1; };
    std::vector<std::uint32_t> steps;
    steps.reserve(a.dimensions());
    for (std::size_t index = 0; index < a.dimensions(); ++index) {
        steps.push_back(from_b() ? b.grid_steps()[index] : a.grid_steps()[index]);
    }
    const std::uint32_t start_tokens = from_b() ? b.start_tokens() : a.start_tokens();
    if (!std::ranges::is_sorted(steps)) {
        steps = cut_crossover(a.grid_steps(), b.grid_steps(), random);
    }
    return Genome{std::move(steps), start_tokens};
}

}  // namespace longrope::genome
