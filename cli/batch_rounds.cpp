// SPDX-License-Identifier: Apache-2.0
#include "cli/batch_rounds.hpp"

#include <algorithm>

namespace longrope::cli {

std::uint64_t count_rounds(std::span<const std::uint64_t> batches, std::uint64_t workers) {
    std::uint64_t rounds = 0;
    for (const std::uint64_t batch : batches) rounds += (batch + workers - 1) / workers;
    return rounds;
}

std::vector<std::uint64_t> batches_left(std::span<const std::uint64_t> batches,
                                        std::uint64_t tasks_left) {
    std::vector<std::uint64_t> left;
    for (std::size_t i = batches.size(); i-- > 0 && tasks_left > 0;) {
        // An earlier start may have bred more than is configured now.
        const std::uint64_t of_this = i == 0 ? tasks_left : std::min(batches[i], tasks_left);
        left.push_back(of_this);
        tasks_left -= of_this;
    }
    std::ranges::reverse(left);
    return left;
}

}  // namespace longrope::cli
