// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longrope::coordinator {

/// A length that a list of factors is scored at, and how much it counts.
struct ScoredLength {
    std::uint64_t tokens = 0;
    double weight = 1.0;

    friend bool operator==(const ScoredLength&, const ScoredLength&) = default;
};

/// Reads "256 = 0.5, 2048 = 0.5". A list is then scored by exp(sum of weight * mean negative
/// log-likelihood per token at that length).
/// @returns the lengths, ascending, weights as given; nothing for another text, a length below 2
///          or given twice, and a weight not finite and above 0, or below 1e-300 of the largest
[[nodiscard]] std::optional<std::vector<ScoredLength>> parse_objective(std::string_view text);

/// The text that `parse_objective` reads.
[[nodiscard]] std::string objective_text(const std::vector<ScoredLength>& lengths);

/// The same lengths, at least one, with weights that add up to 1 however large they were.
[[nodiscard]] std::vector<ScoredLength> normalised(std::vector<ScoredLength> lengths);

}  // namespace longrope::coordinator
