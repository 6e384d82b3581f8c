// SPDX-License-Identifier: Apache-2.0
#include "genome/mutation.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <utility>
#include <vector>

namespace longrope::genome {

namespace {

constexpr double block_move_probability = 0.25;

/// Bounds of a gene or of a run of genes, in grid steps.
struct StepRange {
    std::uint32_t low;
    std::uint32_t high;
};

/// First and last index of a run of genes.
struct Run {
    std::size_t first;
    std::size_t last;
};

using Steps = std::vector<std::uint32_t>;

void require_mutable(const Genome& parent, const SearchSpace& space, double redraw_probability) {
    if (!(redraw_probability >= 0.0 && redraw_probability <= 1.0)) {
        throw std::domain_error{fmt::format("the mutation probability is {}; it must be in [0, 1]",
                                            redraw_probability)};
    }
    if (!space.contains(parent)) throw std::domain_error{"the parent is outside the search space"};
}

/// What the neighbours of a run leave it: 0 and G at the ends.
StepRange range_of(const Run& run, const Steps& steps, const SearchSpace& space) {
    return {run.first == 0 ? 0 : steps[run.first - 1],
            run.last + 1 == steps.size() ? space.max_grid_step() : steps[run.last + 1]};
}

double uniform_between(double low, double high, RandomStream& random) {
    return low + (high - low) * random.uniform_real();
}

std::uint32_t draw_step(const StepRange& range, const SearchSpace& space, RandomStream& random) {
    if (range.low == range.high) return range.low;
    const double log_factor =
        uniform_between(space.log_factor(range.low), space.log_factor(range.high), random);
    return std::clamp(space.nearest_step(std::expm1(log_factor)), range.low, range.high);
}

Run draw_run(std::size_t dimensions, RandomStream& random) {
    const auto count = static_cast<std::uint32_t>(dimensions);
    const std::size_t a = random.uniform_integer(count);
    const std::size_t b = random.uniform_integer(count);
    return {std::min(a, b), std::max(a, b)};
}

std::vector<std::size_t> random_order(std::size_t count, RandomStream& random) {
    std::vector<std::size_t> order(count);
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t left = count; left > 1; --left) {
        std::swap(order[left - 1], order[random.uniform_integer(static_cast<std::uint32_t>(left))]);
    }
    return order;
}

void redraw_genes(Steps& steps, const SearchSpace& space, double probability,
                  RandomStream& random) {
    for (const std::size_t index : random_order(steps.size(), random)) {
        if (!random.happens(probability)) continue;
        steps[index] = draw_step(range_of({index, index}, steps, space), space, random);
    }
}

void move_block(Steps& steps, const SearchSpace& space, RandomStream& random) {
    const Run run = draw_run(steps.size(), random);
    const StepRange range = range_of(run, steps, space);
    const double shift =
        uniform_between(space.log_factor(range.low) - space.log_factor(steps[run.first]),
                        space.log_factor(range.high) - space.log_factor(steps[run.last]), random);
    // Scaling and rounding keep the order within the run, clamping the order around it.
    for (std::size_t index = run.first; index <= run.last; ++index) {
        const double log_factor = space.log_factor(steps[index]) + shift;
        steps[index] =
            std::clamp(space.nearest_step(std::expm1(log_factor)), range.low, range.high);
    }
}

std::uint32_t redraw_start_tokens(std::uint32_t current, const SearchSpace& space,
                                  double probability, RandomStream& random) {
    if (!random.happens(probability)) return current;
    const auto choices = space.start_token_choices();
    return choices[random.uniform_integer(static_cast<std::uint32_t>(choices.size()))];
}

}  // namespace

Genome mutate(const Genome& parent, const SearchSpace& space, double redraw_probability,
              RandomStream& random) {
    require_mutable(parent, space, redraw_probability);
    Steps steps{parent.grid_steps().begin(), parent.grid_steps().end()};
    redraw_genes(steps, space, redraw_probability, random);
    const std::uint32_t start_tokens =
        redraw_start_tokens(parent.start_tokens(), space, redraw_probability, random);
    if (redraw_probability > 0.0 && random.happens(block_move_probability)) {
        move_block(steps, space, random);
    }
    return Genome{std::move(steps), start_tokens};
}

Genome mutate_widely(const Genome& parent, const SearchSpace& space, double redraw_probability,
                     RandomStream& random) {
    require_mutable(parent, space, redraw_probability);
    Steps steps{parent.grid_steps().begin(), parent.grid_steps().end()};
    const Run run = draw_run(steps.size(), random);
    const StepRange range = range_of(run, steps, space);
    const auto begin = steps.begin() + static_cast<std::ptrdiff_t>(run.first);
    const auto end = steps.begin() + static_cast<std::ptrdiff_t>(run.last) + 1;
    std::generate(begin, end, [&] { return draw_step(range, space, random); });
    std::sort(begin, end);
    const std::uint32_t start_tokens =
        redraw_start_tokens(parent.start_tokens(), space, redraw_probability, random);
    return Genome{std::move(steps), start_tokens};
}

}  // namespace longrope::genome
