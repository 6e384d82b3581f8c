// SPDX-License-Identifier: Apache-2.0
#include "genome/search_space.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace longrope::genome {

namespace {

std::uint32_t largest_step(double grid_step, double max_factor) {
    if (!std::isfinite(grid_step) || grid_step <= 0.0) {
        throw InvalidGenome{fmt::format(
            "the grid step of the rescale factors is {}; it must be above 0", grid_step)};
    }
    if (!std::isfinite(max_factor)) {
        throw InvalidGenome{
            fmt::format("the largest rescale factor is {}; it must be finite", max_factor)};
    }
    // 1e-9 forgives the rounding of, say, (40 - 1) / 0.001, but never admits another step.
    const double steps = std::floor((max_factor - 1.0) / grid_step + 1e-9);
    if (steps > std::numeric_limits<std::uint32_t>::max()) {
        throw InvalidGenome{
            fmt::format("a grid step of {} up to the factor {} gives {} values; at "
                        "most 2^32 are possible",
                        grid_step, max_factor, steps)};
    }
    return static_cast<std::uint32_t>(std::max(steps, 0.0));
}

}  // namespace

SearchSpace::SearchSpace(std::size_t dimensions, double grid_step, double max_factor,
                         std::vector<std::uint32_t> start_token_choices)
    : dimensions_{dimensions},
      grid_step_{grid_step},
      max_factor_{max_factor},
      max_grid_step_{largest_step(grid_step, max_factor)},
      start_token_choices_{std::move(start_token_choices)} {
    if (dimensions_ == 0) throw InvalidGenome{"a search space needs at least one rescale factor"};
    if (start_token_choices_.empty()) {
        throw InvalidGenome{
            "a search space needs at least one choice of start tokens; {0} "
            "rescales every position"};
    }
    std::vector<std::uint32_t> sorted = start_token_choices_;
    std::ranges::sort(sorted);
    if (const auto twin = std::ranges::adjacent_find(sorted); twin != sorted.end()) {
        throw InvalidGenome{fmt::format("{} start tokens are a choice twice", *twin)};
    }
}

double SearchSpace::factor(std::uint32_t step) const noexcept {
    return 1.0 + grid_step_ * step;
}

double SearchSpace::log_factor(std::uint32_t step) const noexcept {
    return std::log1p(grid_step_ * step);
}

std::uint32_t SearchSpace::nearest_step(double factor_minus_one) const noexcept {
    const double step = std::round(factor_minus_one / grid_step_);
    return static_cast<std::uint32_t>(std::clamp(step, 0.0, static_cast<double>(max_grid_step_)));
}

std::vector<double> SearchSpace::factors(const Genome& genome) const {
    if (!contains(genome)) {
        throw InvalidGenome{fmt::format(
            "a genome of {} factors, largest grid step {}, {} start tokens is outside a search "
            "space of {} factors, largest grid step {}",
            genome.dimensions(), genome.grid_steps().back(), genome.start_tokens(), dimensions_,
            max_grid_step_)};
    }
    std::vector<double> result;
    result.reserve(dimensions_);
    for (const std::uint32_t step : genome.grid_steps()) result.push_back(factor(step));
    return result;
}

Genome SearchSpace::nearest(std::span<const double> factors, std::uint32_t start_tokens) const {
    if (factors.size() != dimensions_) {
        throw InvalidGenome{fmt::format("{} rescale factors for a search space of {}",
                                        factors.size(), dimensions_)};
    }
    std::vector<std::uint32_t> steps;
    steps.reserve(dimensions_);
    for (const double factor : factors) {
        if (std::isnan(factor)) {
            throw InvalidGenome{
                fmt::format("the rescale factor at index {} is not a number", steps.size())};
        }
        const std::uint32_t previous = steps.empty() ? 0 : steps.back();
        steps.push_back(std::max(previous, nearest_step(factor - 1.0)));
    }
    const auto distance = [start_tokens](std::uint32_t choice) {
        return std::pair{std::max(choice, start_tokens) - std::min(choice, start_tokens), choice};
    };
    return Genome{std::move(steps), *std::ranges::min_element(start_token_choices_, {}, distance)};
}

bool SearchSpace::contains(const Genome& genome) const {
    return genome.dimensions() == dimensions_ && genome.grid_steps().back() <= max_grid_step_ &&
           std::ranges::find(start_token_choices_, genome.start_tokens()) !=
               start_token_choices_.end();
}

}  // namespace longrope::genome
