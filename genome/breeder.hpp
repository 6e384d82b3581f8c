// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "genome/random_stream.hpp"

namespace longrope::genome {

/// A point of the search as an evaluation sees it, whatever the method holds it in.
struct Candidate {
    std::vector<double> factors;     ///< lambda, shape [D], non-decreasing
    std::uint32_t start_tokens = 0;  ///< n-hat

    friend bool operator==(const Candidate&, const Candidate&) = default;
};

/// What became of a crossing.
struct Crossing {
    std::optional<Candidate> child;  ///< nothing if no unseen child was found
    bool mutated = false;            ///< a mutation of the better parent, for want of a crossover
};

/// A search method's operators, with the memory they need: everything bred so far. Individuals are
/// numbered from 0 in the order of the calls, and parents are named by these numbers. What is bred
/// depends on the calls and their streams alone.
class Breeder {
public:
    Breeder() = default;
    Breeder(const Breeder&) = delete;
    Breeder& operator=(const Breeder&) = delete;
    virtual ~Breeder() = default;

    /// How many different vectors the first population is bred from; at least 1. They are its first
    /// individuals.
    [[nodiscard]] virtual std::uint32_t seeds() const noexcept = 0;
    /// The next individual is the next of the seeds.
    virtual Candidate breed_seed() = 0;
    /// The next individual is a mutation.
    /// @returns an unseen candidate; nothing if none was found
    virtual std::optional<Candidate> breed_mutant(std::uint32_t parent, RandomStream& random) = 0;
    /// The next individual is a crossover, or else a mutation of the better parent.
    virtual Crossing breed_crossover(std::uint32_t better, std::uint32_t worse,
                                     RandomStream& random) = 0;
};

}  // namespace longrope::genome
