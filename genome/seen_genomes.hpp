// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_set>

#include "genome/genome.hpp"

namespace longrope::genome {

/// What the factors of a genome multiply: the untouched model, or factors of an earlier search, so
/// that "every factor is 1" still rescales and start tokens matter there.
enum class Multiplied { unscaled, rescaled };

/// The representative of all genomes that rotate every evaluated position alike: 1 start token is
/// 0 (position 0 has angle 0), and a genome that rescales nothing, because every factor is 1 or
/// every position a start token, is "all factors 1, no start tokens". Where earlier factors are
/// multiplied, a genome of start tokens alone undoes them: it is "every position a start token",
/// and factors of 1 are like any others. For comparison only: 0 start tokens may not be a choice of
/// the search space.
/// @param positions   L', positions that are evaluated
/// @param multiplied  what the factors of the genome multiply
[[nodiscard]] Genome canonical(const Genome& genome, std::uint64_t positions,
                               Multiplied multiplied = Multiplied::unscaled);

/// The genomes a search has bred, so that no function is evaluated twice. Compares exactly, by
/// canonical genome.
class SeenGenomes {
public:
    /// @param positions  L', positions that are evaluated
    explicit SeenGenomes(std::uint64_t positions, Multiplied multiplied = Multiplied::unscaled)
        : positions_{positions}, multiplied_{multiplied} {}

    [[nodiscard]] bool contains(const Genome& genome) const;
    /// @returns true if the genome was not yet there
    bool insert(const Genome& genome);
    [[nodiscard]] std::size_t size() const noexcept { return genomes_.size(); }

private:
    std::uint64_t positions_;
    Multiplied multiplied_;
    std::unordered_set<Genome, GenomeHash> genomes_;
};

}  // namespace longrope::genome
