// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "genome/breeder.hpp"
#include "genome/reference_operators.hpp"
#include "genome/seen_factors.hpp"

namespace longrope::genome {

/// The method "reference": LongRoPE's published code, which differs from its paper. It starts from
/// one vector, has no start tokens, and always finds a child or gives up altogether.
/// Source: github.com/microsoft/LongRoPE, evolution/algorithms.
class ReferenceBreeder final : public Breeder {
public:
    /// @param seed  shape [D], D >= 2, non-decreasing: in the published code `ramp_factors`
    /// @throws InvalidGenome if the seed is none
    ReferenceBreeder(std::vector<double> seed, ReferenceSpace space);

    [[nodiscard]] std::uint32_t seeds() const noexcept override { return 1; }
    Candidate breed_seed() override;
    /// @throws PassesExhausted
    std::optional<Candidate> breed_mutant(std::uint32_t parent, RandomStream& random) override;
    /// @throws PassesExhausted
    Crossing breed_crossover(std::uint32_t better, std::uint32_t worse,
                             RandomStream& random) override;

private:
    Candidate keep(std::vector<double> factors);

    ReferenceSpace space_;
    std::vector<double> seed_;
    SeenFactors seen_;
    std::vector<std::vector<double>> factors_;  // index = individual
};

}  // namespace longrope::genome
