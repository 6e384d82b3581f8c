// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <vector>

#include "genome/random_stream.hpp"
#include "genome/seen_factors.hpp"

namespace longrope::genome {

// The operators of LongRoPE's published code (github.com/microsoft/LongRoPE, evolution/algorithms,
// "dim_mono"), kept as they are to be compared with those of the paper. They work on real-valued
// factors of at least two pairs. The random numbers are ours, so that the distribution of children
// is the published one, but no run of that code is replayed.

/// A mutation found no child within its passes.
class PassesExhausted : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// How far and how finely factors are redrawn.
struct ReferenceSpace {
    double max_factor = 1.0;  ///< 1 + s; bounds the last pair only, and up to one step above itself
    double step = 0.01;       ///< of the values that a factor is drawn from
    double redraw_probability = 0.3;  ///< in a pass, for each factor on its own
    std::uint32_t max_passes = 10000;
};

/// Passes over a copy of the parent until it is unseen and non-decreasing. A pass goes from the
/// first pair to the last and redraws a factor with the given probability, uniformly among the
/// values start, start + step, ... below an end: from its left neighbour to one step above its
/// right neighbour (the first pair: from 1 to below its right neighbour; the last: from its left
/// neighbour to one step above max_factor). So factors leave the grid, and since a value can lie
/// above the right neighbour, a pass mostly ends out of order and another follows: a random walk of
/// about a hundred passes, in which nearly every factor moves.
/// @param parent  shape [D], D >= 2
/// @returns       a child of the parent's shape, not yet inserted into `seen`
/// @throws PassesExhausted where the published code would go on for ever: after max_passes
[[nodiscard]] std::vector<double> reference_mutation(const std::vector<double>& parent,
                                                     const ReferenceSpace& space,
                                                     const SeenFactors& seen, RandomStream& random);

/// Up to 20 passes over a copy of the better parent. A pass goes from the first pair to the last
/// and visits each with probability 0.3; a visit copies the worse parent's factor with probability
/// 1/2, and returns the child at once if it is unseen and non-decreasing by now. So most children
/// differ from the better parent in one factor.
/// @param better, worse  of one shape
/// @returns              a child, not yet inserted into `seen`; nothing if all passes failed
[[nodiscard]] std::optional<std::vector<double>> reference_crossover(
    const std::vector<double>& better, const std::vector<double>& worse, const SeenFactors& seen,
    RandomStream& random);

}  // namespace longrope::genome
