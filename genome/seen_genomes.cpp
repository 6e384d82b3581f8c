// SPDX-License-Identifier: Apache-2.0
#include "genome/seen_genomes.hpp"

#include <limits>
#include <vector>

namespace longrope::genome {

constexpr std::uint32_t every_position = std::numeric_limits<std::uint32_t>::max();

Genome canonical(const Genome& genome, std::uint64_t positions, Multiplied multiplied) {
    const auto steps = genome.grid_steps();
    const std::vector<std::uint32_t> zeros(steps.size(), 0);
    if (multiplied == Multiplied::rescaled && genome.start_tokens() >= positions) {
        return Genome{zeros, every_position};
    }
    // Steps do not decrease, so that the last one tells whether all are 0.
    if (multiplied == Multiplied::unscaled &&
        (steps.back() == 0 || genome.start_tokens() >= positions)) {
        return Genome{zeros, 0};
    }
    const std::uint32_t start_tokens = genome.start_tokens() == 1 ? 0 : genome.start_tokens();
    return Genome{{steps.begin(), steps.end()}, start_tokens};
}

bool SeenGenomes::contains(const Genome& genome) const {
    return genomes_.contains(canonical(genome, positions_, multiplied_));
}

bool SeenGenomes::insert(const Genome& genome) {
    return genomes_.insert(canonical(genome, positions_, multiplied_)).second;
}

}  // namespace longrope::genome
