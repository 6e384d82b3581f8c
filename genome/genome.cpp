// SPDX-License-Identifier: Apache-2.0
#include "genome/genome.hpp"

#include <fmt/format.h>

#include <utility>

namespace longrope::genome {

Genome::Genome(std::vector<std::uint32_t> grid_steps, std::uint32_t start_tokens)
    : steps_{std::move(grid_steps)}, start_tokens_{start_tokens} {
    if (steps_.empty()) throw InvalidGenome{"a genome needs at least one rescale factor"};
    for (std::size_t i = 1; i < steps_.size(); ++i) {
        if (steps_[i] < steps_[i - 1]) {
            throw InvalidGenome{
                fmt::format("rescale factors must not decrease: grid step {} at "
                            "index {} is below {} at index {}",
                            steps_[i], i, steps_[i - 1], i - 1)};
        }
    }
}

std::size_t GenomeHash::operator()(const Genome& genome) const noexcept {
    std::uint64_t hash = 14695981039346656037ULL;  // FNV-1a over the genome's numbers
    const auto mix = [&hash](std::uint32_t value) {
        for (int byte = 0; byte < 4; ++byte) {
            hash = (hash ^ ((value >> (8 * byte)) & 0xffU)) * 1099511628211ULL;
        }
    };
    for (const std::uint32_t step : genome.grid_steps()) mix(step);
    mix(genome.start_tokens());
    return hash;
}

}  // namespace longrope::genome
