// SPDX-License-Identifier: Apache-2.0
#include "genome/selection.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

namespace longrope::genome {

std::vector<std::uint32_t> best_by_score(std::span<const double> scores, std::size_t count) {
    std::vector<std::uint32_t> numbers;
    numbers.reserve(scores.size());
    for (std::uint32_t number = 0; number < scores.size(); ++number) {
        if (std::isfinite(scores[number])) numbers.push_back(number);
    }
    const std::size_t kept = std::min(count, numbers.size());
    const auto better = [&scores](std::uint32_t a, std::uint32_t b) {
        return std::pair{scores[a], a} < std::pair{scores[b], b};
    };
    std::partial_sort(numbers.begin(), numbers.begin() + static_cast<std::ptrdiff_t>(kept),
                      numbers.end(), better);
    numbers.resize(kept);
    return numbers;
}

RankPair draw_pair(std::uint32_t parents, RandomStream& random) {
    if (parents < 2) throw std::domain_error{"a pair of parents needs two of them"};
    const std::uint32_t first = random.uniform_integer(parents);
    std::uint32_t second = random.uniform_integer(parents - 1);
    if (second >= first) ++second;  // skips the first one, so that all others are equally likely
    return {std::min(first, second), std::max(first, second)};
}

}  // namespace longrope::genome
