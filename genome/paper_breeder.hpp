// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "genome/breeder.hpp"
#include "genome/genome.hpp"
#include "genome/search_space.hpp"
#include "genome/seen_genomes.hpp"

namespace longrope::genome {

/// The method "paper": genomes on a grid, whose operators keep them non-decreasing.
/// Source: LongRoPE (arXiv:2402.13753), section 3.2; departures are told at each operator.
class PaperBreeder final : public Breeder {
public:
    /// @param seed_factors          shape [seeds][D]
    /// @param mutation_probability  p in [0, 1], per gene
    /// @param positions             L', positions that are evaluated
    /// @param multiplied            what the factors multiply; decides which are the same function
    /// @throws InvalidGenome if there is no seed, or one does not fit the space
    PaperBreeder(SearchSpace space, std::span<const std::vector<double>> seed_factors,
                 double mutation_probability, std::uint64_t positions,
                 Multiplied multiplied = Multiplied::unscaled);

    [[nodiscard]] std::uint32_t seeds() const noexcept override;
    Candidate breed_seed() override;
    std::optional<Candidate> breed_mutant(std::uint32_t parent, RandomStream& random) override;
    Crossing breed_crossover(std::uint32_t better, std::uint32_t worse,
                             RandomStream& random) override;

private:
    std::optional<Candidate> keep(std::optional<Genome> child);

    SearchSpace space_;
    double mutation_probability_;
    std::vector<Genome> seeds_;
    SeenGenomes seen_;
    std::vector<std::optional<Genome>> genomes_;  // index = individual; empty: no child was found
};

}  // namespace longrope::genome
