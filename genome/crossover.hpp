// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "genome/genome.hpp"
#include "genome/random_stream.hpp"

namespace longrope::genome {

/// Uniform crossover: each factor, and the start tokens, from `a` or `b` with probability 1/2. If
/// the factors then decrease somewhere, they are replaced by a cut crossover: the leading factors
/// of one parent and the trailing ones of the other, drawn uniformly among the cuts that do not
/// decrease; one always exists. The cut is our own: the paper only asks for non-decreasing
/// children.
/// @param a, b    parents of one shape
/// @returns       a non-decreasing child; it may equal a parent
/// @throws InvalidGenome if the parents differ in their number of factors
/// Source: LongRoPE (arXiv:2402.13753), section 3.2, "crossover" in Algorithm 1.
[[nodiscard]] Genome crossover(const Genome& a, const Genome& b, RandomStream& random);

}  // namespace longrope::genome
