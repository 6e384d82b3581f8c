// SPDX-License-Identifier: Apache-2.0
#include "genome/paper_breeder.hpp"

#include <utility>

#include "genome/breeding.hpp"
#include "genome/initial_population.hpp"

namespace longrope::genome {

PaperBreeder::PaperBreeder(SearchSpace space, std::span<const std::vector<double>> seed_factors,
                           double mutation_probability, std::uint64_t positions,
                           Multiplied multiplied)
    : space_{std::move(space)},
      mutation_probability_{mutation_probability},
      seeds_{seed_genomes(space_, seed_factors, positions)},
      seen_{positions, multiplied} {}

std::uint32_t PaperBreeder::seeds() const noexcept {
    return static_cast<std::uint32_t>(seeds_.size());
}

Candidate PaperBreeder::breed_seed() {
    // Seeds are the first individuals.
    return keep(seeds_.at(genomes_.size())).value();
}

std::optional<Candidate> PaperBreeder::breed_mutant(std::uint32_t parent, RandomStream& random) {
    return keep(genome::breed_mutant(genomes_.at(parent).value(), space_, mutation_probability_,
                                     seen_, random));
}

Crossing PaperBreeder::breed_crossover(std::uint32_t better, std::uint32_t worse,
                                       RandomStream& random) {
    auto child = genome::breed_crossover(genomes_.at(better).value(), genomes_.at(worse).value(),
                                         space_, mutation_probability_, seen_, random);
    if (!child) return {keep(std::nullopt), false};
    return {keep(std::move(child->genome)), child->mutated};
}

std::optional<Candidate> PaperBreeder::keep(std::optional<Genome> child) {
    const auto& kept = genomes_.emplace_back(std::move(child));
    if (!kept) return std::nullopt;
    seen_.insert(*kept);
    return Candidate{space_.factors(*kept), kept->start_tokens()};
}

}  // namespace longrope::genome
