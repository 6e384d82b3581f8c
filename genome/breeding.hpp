// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "genome/genome.hpp"
#include "genome/random_stream.hpp"
#include "genome/search_space.hpp"
#include "genome/seen_genomes.hpp"

namespace longrope::genome {

/// Mutates until the child is new: 100 tries of `mutate`, then 100 of `mutate_widely`.
/// @returns an unseen child, not yet inserted into `seen`; nothing if none was found
/// @throws std::domain_error as `mutate`
[[nodiscard]] std::optional<Genome> breed_mutant(const Genome& parent, const SearchSpace& space,
                                                 double redraw_probability, const SeenGenomes& seen,
                                                 RandomStream& random);

struct CrossoverChild {
    Genome genome;
    bool mutated;  ///< no crossing was new: a mutation of the better parent
};

/// Crosses until the child is new, 20 tries, then mutates the better parent instead.
/// @returns an unseen child, not yet inserted into `seen`; nothing if none was found
/// @throws std::domain_error as `mutate` and `crossover`
[[nodiscard]] std::optional<CrossoverChild> breed_crossover(
    const Genome& better, const Genome& worse, const SearchSpace& space, double redraw_probability,
    const SeenGenomes& seen, RandomStream& random);

}  // namespace longrope::genome
