// SPDX-License-Identifier: Apache-2.0
#include "genome/initial_population.hpp"

#include <cassert>
#include <utility>

#include "genome/seen_genomes.hpp"

namespace longrope::genome {

std::vector<Genome> seed_genomes(const SearchSpace& space,
                                 std::span<const std::vector<double>> factors,
                                 std::uint64_t positions) {
    if (factors.empty()) throw InvalidGenome{"the first population needs at least one seed"};
    SeenGenomes seen{positions};
    std::vector<Genome> seeds;
    for (const std::vector<double>& vector : factors) {
        Genome seed = space.nearest(vector, 0);
        if (seen.insert(seed)) seeds.push_back(std::move(seed));
    }
    return seeds;
}

std::uint32_t seed_of_member(std::uint32_t member, std::uint32_t seeds) {
    assert(seeds > 0 && member >= seeds);
    return (member - seeds) % seeds;
}

}  // namespace longrope::genome
