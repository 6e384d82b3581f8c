// SPDX-License-Identifier: Apache-2.0
#include "genome/reference_breeder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "genome/genome.hpp"

namespace longrope::genome {

ReferenceBreeder::ReferenceBreeder(std::vector<double> seed, ReferenceSpace space)
    : space_{space}, seed_{std::move(seed)} {
    if (seed_.size() < 2) {
        throw InvalidGenome{fmt::format(
            "a seed of {} factors; the reference's operators need at least 2", seed_.size())};
    }
    const auto finite = [](double factor) { return std::isfinite(factor); };
    if (!std::ranges::all_of(seed_, finite) || !std::ranges::is_sorted(seed_)) {
        throw InvalidGenome{"the seed's factors must be finite and not decrease"};
    }
}

Candidate ReferenceBreeder::breed_seed() {
    return keep(seed_);
}

std::optional<Candidate> ReferenceBreeder::breed_mutant(std::uint32_t parent,
                                                        RandomStream& random) {
    return keep(reference_mutation(factors_.at(parent), space_, seen_, random));
}

Crossing ReferenceBreeder::breed_crossover(std::uint32_t better, std::uint32_t worse,
                                           RandomStream& random) {
    auto child = reference_crossover(factors_.at(better), factors_.at(worse), seen_, random);
    if (child) return {keep(*std::move(child)), false};
    return {breed_mutant(better, random), true};
}

Candidate ReferenceBreeder::keep(std::vector<double> factors) {
    seen_.insert(factors);
    factors_.push_back(factors);
    return {std::move(factors), 0};
}

}  // namespace longrope::genome
