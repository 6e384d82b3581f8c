// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "genome/genome.hpp"

namespace longrope::genome {

/// The genomes a search may visit: the grid of the rescale factors, its upper bound, and the
/// allowed numbers of start tokens. Immutable.
/// Source: LongRoPE (arXiv:2402.13753), section 3.2 and table 4.
class SearchSpace {
public:
    /// @param dimensions           D, rotary frequencies of a head (half of the rotary dimension)
    /// @param grid_step            distance of neighbouring factors, for example 0.001
    /// @param max_factor           lambda_max, largest factor; at most 1 leaves the single point
    ///                             "every factor is 1"
    /// @param start_token_choices  n-hat, in tokens; at least one, each once, in any order
    /// @throws InvalidGenome naming the value that no space can have
    SearchSpace(std::size_t dimensions, double grid_step, double max_factor,
                std::vector<std::uint32_t> start_token_choices);

    [[nodiscard]] std::size_t dimensions() const noexcept { return dimensions_; }
    [[nodiscard]] double grid_step() const noexcept { return grid_step_; }
    /// lambda_max as given; the largest factor of the grid may lie a little below.
    [[nodiscard]] double max_factor() const noexcept { return max_factor_; }
    /// G: the largest grid step, floor((max_factor - 1) / grid_step + 1e-9).
    [[nodiscard]] std::uint32_t max_grid_step() const noexcept { return max_grid_step_; }
    [[nodiscard]] std::span<const std::uint32_t> start_token_choices() const noexcept {
        return start_token_choices_;
    }

    /// lambda = 1 + grid_step * step.
    [[nodiscard]] double factor(std::uint32_t step) const noexcept;
    /// ln lambda of a grid step.
    [[nodiscard]] double log_factor(std::uint32_t step) const noexcept;
    /// The grid step nearest to lambda = 1 + factor_minus_one, clamped to 0..G.
    /// The distance from 1 is the parameter, so that small ones keep their digits.
    [[nodiscard]] std::uint32_t nearest_step(double factor_minus_one) const noexcept;

    /// The rescale factors of a genome; shape [D].
    /// @throws InvalidGenome if the genome is outside this space
    [[nodiscard]] std::vector<double> factors(const Genome& genome) const;

    /// The genome nearest to given factors: each clamped to [1, lambda_max] and rounded to the
    /// grid, then the running maximum; the nearest choice of start tokens, the smaller of two.
    /// @param factors  shape [D]; infinite ones are clamped
    /// @throws InvalidGenome on another number of factors or one that is not a number
    [[nodiscard]] Genome nearest(std::span<const double> factors, std::uint32_t start_tokens) const;

    [[nodiscard]] bool contains(const Genome& genome) const;

    /// True if only "every factor is 1" is left: nothing to search, whatever the start tokens.
    [[nodiscard]] bool is_single_point() const noexcept { return max_grid_step_ == 0; }

private:
    std::size_t dimensions_;
    double grid_step_;
    double max_factor_;
    std::uint32_t max_grid_step_ = 0;
    std::vector<std::uint32_t> start_token_choices_;
};

}  // namespace longrope::genome
