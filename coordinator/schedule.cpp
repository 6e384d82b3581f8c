// SPDX-License-Identifier: Apache-2.0
#include "coordinator/schedule.hpp"

#include <fmt/format.h>

#include <stdexcept>

namespace longrope::coordinator {

Schedule::Schedule(ScheduleSizes sizes) : sizes_{sizes} {
    if (sizes_.population == 0) throw std::invalid_argument{"a search needs a first population"};
    const std::uint64_t per_generation = std::uint64_t{sizes_.mutations} + sizes_.crossovers;
    if (sizes_.iterations > 0 && per_generation == 0) {
        throw std::invalid_argument{
            fmt::format("{} iterations without mutations or crossovers", sizes_.iterations)};
    }
    // Histories store the numbers of parents as int32. The first test keeps the product in 64 bits.
    constexpr std::uint64_t limit = std::uint64_t{1} << 31U;
    if (per_generation >= limit ||
        sizes_.population + sizes_.iterations * per_generation >= limit) {
        throw std::invalid_argument{fmt::format(
            "population {} and {} iterations of {} children are 2^31 individuals or more",
            sizes_.population, sizes_.iterations, per_generation)};
    }
}

std::uint32_t Schedule::total() const noexcept {
    return sizes_.population + sizes_.iterations * children();
}

std::uint32_t Schedule::frontier(std::uint32_t individual) const noexcept {
    return individual < sizes_.population ? 0 : first_of(generation_of(individual));
}

std::uint32_t Schedule::generation_of(std::uint32_t individual) const noexcept {
    if (individual < sizes_.population || children() == 0) return 0;
    return 1 + (individual - sizes_.population) / children();
}

std::uint32_t Schedule::first_of(std::uint32_t generation) const noexcept {
    return generation == 0 ? 0 : sizes_.population + (generation - 1) * children();
}

std::uint32_t Schedule::last_of(std::uint32_t generation) const noexcept {
    return sizes_.population + generation * children() - 1;
}

bool Schedule::is_mutation(std::uint32_t individual) const noexcept {
    return individual >= sizes_.population &&
           individual - first_of(generation_of(individual)) < sizes_.mutations;
}

}  // namespace longrope::coordinator
