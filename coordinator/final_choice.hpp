// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// What a final phase chose on the validation documents.
struct FinalChoice {
    std::uint32_t iterations = 0;  ///< of the search before it
    std::uint32_t individual = 0;
    std::uint32_t start_tokens = 0;
    double mean_nll = 0.0;  ///< on the validation documents, nats per token
    double perplexity = 0.0;
};

/// The best of the individuals that were validated after so many iterations, with the start tokens
/// of the sweep that are better than its own, if any. Ties go to the first row: to the better one
/// of the search, and to its own start tokens. Nothing where no such row has a score.
[[nodiscard]] std::optional<FinalChoice> final_choice(const StageHistory& stage,
                                                      std::uint32_t iterations);

/// What earlier starts chose after fewer iterations than the stage has now, in ascending order, as
/// far as their validation came to its end. A search that goes on does not take these into account:
/// it finds what it would have found in one go.
[[nodiscard]] std::vector<FinalChoice> earlier_choices(const StageHistory& stage);

}  // namespace longrope::coordinator
