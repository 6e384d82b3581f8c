// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace longrope::coordinator {

/// Sizes of a search, in individuals.
struct ScheduleSizes {
    std::uint32_t population = 0;  ///< P: generation 0; at least 1
    std::uint32_t mutations = 0;   ///< N1: the first children of every later generation
    std::uint32_t crossovers = 0;  ///< N2: the others; N1 + N2 at least 1 where iterations > 0
    std::uint32_t iterations = 0;  ///< T: generations after the first
};

/// Which individuals form a generation, and whose results each of them may see. Individuals are
/// numbered in the order of breeding: generation 0 is 0..P-1, generation g > 0 the next N1 + N2
/// numbers. Raising the iterations changes nothing for lower numbers.
///
/// The order is generational: mutants and crossovers of a generation are one batch, as both read
/// the old parents only (LongRoPE, arXiv:2402.13753, Algorithm 1).
class Schedule {
public:
    /// @throws std::invalid_argument if P is 0, a generation is empty, or there are 2^31
    ///         individuals or more
    explicit Schedule(ScheduleSizes sizes);

    [[nodiscard]] const ScheduleSizes& sizes() const noexcept { return sizes_; }
    /// P + T (N1 + N2).
    [[nodiscard]] std::uint32_t total() const noexcept;

    /// Individual k sees exactly the results of individuals 0..frontier(k)-1: nothing for the
    /// first population, then all generations before its own.
    [[nodiscard]] std::uint32_t frontier(std::uint32_t individual) const noexcept;

    [[nodiscard]] std::uint32_t generation_of(std::uint32_t individual) const noexcept;
    /// Number of the first individual of a generation.
    [[nodiscard]] std::uint32_t first_of(std::uint32_t generation) const noexcept;
    /// Number of the last individual of a generation.
    [[nodiscard]] std::uint32_t last_of(std::uint32_t generation) const noexcept;
    /// True for the first N1 individuals of every generation but the first.
    [[nodiscard]] bool is_mutation(std::uint32_t individual) const noexcept;

private:
    [[nodiscard]] std::uint32_t children() const noexcept {
        return sizes_.mutations + sizes_.crossovers;
    }

    ScheduleSizes sizes_;
};

}  // namespace longrope::coordinator
