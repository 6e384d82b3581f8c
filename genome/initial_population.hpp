// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "genome/genome.hpp"
#include "genome/search_space.hpp"

namespace longrope::genome {

/// The first members of the first population: given factor vectors moved into the space (clamped,
/// rounded, running maximum) without start tokens, in their order, equal ones once. The others are
/// mutations of these in turn (`seed_of_member`).
/// @param factors    shape [seeds][D], for example `seed_baselines`
/// @param positions  L', positions that are evaluated; decides which genomes are the same function
/// @returns          distinct genomes, at least one
/// @throws InvalidGenome if there is no vector or one does not fit the space
/// Source: LongRoPE (arXiv:2402.13753), section 3.2, "optimized initial population generation"
/// (three seeds there: PI, NTK, YaRN).
[[nodiscard]] std::vector<Genome> seed_genomes(const SearchSpace& space,
                                               std::span<const std::vector<double>> factors,
                                               std::uint64_t positions);

/// Which seed a later member of the first population is a mutation of: each in turn.
/// @param member  number of the individual, at least `seeds`
/// @param seeds   number of seeds, at least 1
[[nodiscard]] std::uint32_t seed_of_member(std::uint32_t member, std::uint32_t seeds);

}  // namespace longrope::genome
