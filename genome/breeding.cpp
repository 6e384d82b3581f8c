// SPDX-License-Identifier: Apache-2.0
#include "genome/breeding.hpp"

#include <utility>

#include "genome/crossover.hpp"
#include "genome/mutation.hpp"

namespace longrope::genome {

namespace {

constexpr int mutation_tries = 100;
constexpr int wide_mutation_tries = 100;
constexpr int crossover_tries = 20;

}  // namespace

std::optional<Genome> breed_mutant(const Genome& parent, const SearchSpace& space,
                                   double redraw_probability, const SeenGenomes& seen,
                                   RandomStream& random) {
    for (int attempt = 0; attempt < mutation_tries; ++attempt) {
        Genome child = mutate(parent, space, redraw_probability, random);
        if (!seen.contains(child)) return child;
    }
    for (int attempt = 0; attempt < wide_mutation_tries; ++attempt) {
        Genome child = mutate_widely(parent, space, redraw_probability, random);
        if (!seen.contains(child)) return child;
    }
    return std::nullopt;
}

std::optional<CrossoverChild> breed_crossover(const Genome& better, const Genome& worse,
                                              const SearchSpace& space, double redraw_probability,
                                              const SeenGenomes& seen, RandomStream& random) {
    for (int attempt = 0; attempt < crossover_tries; ++attempt) {
        Genome child = crossover(better, worse, random);
        if (!seen.contains(child)) return CrossoverChild{std::move(child), false};
    }
    auto mutant = breed_mutant(better, space, redraw_probability, seen, random);
    if (!mutant) return std::nullopt;
    return CrossoverChild{*std::move(mutant), true};
}

}  // namespace longrope::genome
