// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

namespace longrope::genome {

/// A genome or a search space that cannot exist; the message names the index and the values.
class InvalidGenome : public std::domain_error {
public:
    using std::domain_error::domain_error;
};

/// One point of the search space: how far each rotary frequency is stretched, and how many leading
/// tokens keep their positions. Held in grid steps, lambda_i = 1 + step * grid_steps[i], so that
/// equality is exact and no duplicate costs a long-document evaluation. Immutable.
/// Source: LongRoPE (arXiv:2402.13753), section 3.2.
class Genome {
public:
    /// @param grid_steps    one per rotary frequency; shape [rotary_dim / 2], non-decreasing
    /// @param start_tokens  n-hat, in tokens; 0 rescales every position
    /// @throws InvalidGenome if grid_steps is empty or decreases, naming the index and both values
    Genome(std::vector<std::uint32_t> grid_steps, std::uint32_t start_tokens);

    [[nodiscard]] std::span<const std::uint32_t> grid_steps() const noexcept { return steps_; }
    [[nodiscard]] std::uint32_t start_tokens() const noexcept { return start_tokens_; }
    [[nodiscard]] std::size_t dimensions() const noexcept { return steps_.size(); }
    friend bool operator==(const Genome&, const Genome&) = default;

private:
    std::vector<std::uint32_t> steps_;
    std::uint32_t start_tokens_;
};

/// Hash of a genome's content, for sets of genomes already seen.
struct GenomeHash {
    [[nodiscard]] std::size_t operator()(const Genome& genome) const noexcept;
};

}  // namespace longrope::genome
