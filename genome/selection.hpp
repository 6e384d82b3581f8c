// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "genome/random_stream.hpp"

namespace longrope::genome {

/// The best by score, lower being better, ties by number: the order of arrival never matters.
/// @param scores  shape [individuals], index = number of the individual; those without a finite
///                score are never chosen
/// @returns       at most `count` numbers, best first
[[nodiscard]] std::vector<std::uint32_t> best_by_score(std::span<const double> scores,
                                                       std::size_t count);

/// Two different ranks among the parents, the better one first.
struct RankPair {
    std::uint32_t better;
    std::uint32_t worse;
};

/// Uniform over all pairs.
/// @throws std::domain_error if there are fewer than two parents
[[nodiscard]] RankPair draw_pair(std::uint32_t parents, RandomStream& random);

}  // namespace longrope::genome
