// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "genome/genome.hpp"
#include "genome/random_stream.hpp"
#include "genome/search_space.hpp"

namespace longrope::genome {

/// One pass over the genes, then perhaps a block move. The pass visits the factors in random order
/// and redraws each with probability p uniformly in ln lambda between its present neighbours (1 and
/// lambda_max at the ends), rounded to the grid: the child is non-decreasing by construction. The
/// start tokens are redrawn with probability p from the choices of `space`. With probability 1/4 a
/// random run of factors is then multiplied by a common ratio that keeps it between its
/// neighbours; without it the plateaus of YaRN and linear interpolation could not move, since equal
/// neighbours leave a gene no other value.
///
/// Departures from the paper: it draws uniformly in lambda, which pulls factors towards a straight
/// line, and it has no block move.
/// @param parent              shape [D]; left untouched
/// @param redraw_probability  p in [0, 1], for each gene on its own; LongRoPE uses 0.3; at 0 the
///                            child is the parent, without a block move
/// @param random              the individual's own stream: equal streams give equal children
/// @returns                   a child inside `space`; it may equal the parent
/// @throws std::domain_error  if p is outside [0, 1] or the parent is outside `space`
/// Source: LongRoPE (arXiv:2402.13753), section 3.2, "mutate" in Algorithm 1.
[[nodiscard]] Genome mutate(const Genome& parent, const SearchSpace& space,
                            double redraw_probability, RandomStream& random);

/// A far mutation for crowded neighbourhoods: every factor of a random run is redrawn uniformly in
/// ln lambda between the neighbours of the run, then the run is sorted. Start tokens as in
/// `mutate`.
/// @throws std::domain_error  if p is outside [0, 1] or the parent is outside `space`
[[nodiscard]] Genome mutate_widely(const Genome& parent, const SearchSpace& space,
                                   double redraw_probability, RandomStream& random);

}  // namespace longrope::genome
