// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "coordinator/search.hpp"
#include "genome/named_baselines.hpp"

namespace longrope::coordinator {

inline constexpr std::size_t pairs = 16;
inline constexpr double extension = 8.0;
/// Of the seven seeds: YaRN with 64 and with 32 fast turns are one vector in a window this short.
inline constexpr std::uint32_t distinct_seeds = 6;

/// A small search over the 16 pairs of a model of 256 tokens, stretched to 2048.
inline SearchSettings small_settings(std::uint64_t seed) {
    const genome::RotaryFacts facts{
        .rotary_pairs = pairs, .theta = 10000.0, .original_window = 256};
    std::vector<std::vector<double>> seeds;
    for (auto& baseline : genome::seed_baselines(facts, 256 * extension)) {
        seeds.push_back(std::move(baseline.factors));
    }
    return {.space = genome::SearchSpace{pairs, 0.001, 1.25 * extension, {0, 1, 2, 4, 8, 256}},
            .seed_factors = std::move(seeds),
            .population = 16,
            .parents = 8,
            .mutations = 6,
            .crossovers = 6,
            .iterations = 4,
            .mutation_probability = 0.3,
            .seed = seed,
            .stage_name = "search test",
            .positions = 2048};
}

/// A closed-form stand-in for perplexity: least, 3 nats, at a ramp that is none of the seeds,
/// measured in ratios of factors.
inline double landscape(const std::vector<double>& factors) {
    double distance = 0.0;
    for (std::size_t i = 0; i < factors.size(); ++i) {
        const double position = static_cast<double>(i) / static_cast<double>(factors.size());
        const double optimum = std::log(extension) / (1.0 + std::exp(-12.0 * (position - 0.6)));
        distance += std::pow(std::log(factors[i]) - optimum, 2);
    }
    return 3.0 + distance / static_cast<double>(factors.size());
}

/// Every seventh individual fails.
inline Outcome evaluate(const Search& search, std::uint32_t number) {
    if (number % 7 == 3) return {.status = Status::failed, .mean_nll = 0.0};
    return {.status = Status::done, .mean_nll = landscape(search.factors(number))};
}

/// Breeds and commits one after the other.
inline Search run_in_order(SearchSettings settings) {
    Search search{std::move(settings)};
    while (const auto individual = search.next()) {
        if (individual->candidate)
            search.commit(individual->number, evaluate(search, individual->number));
    }
    return search;
}

}  // namespace longrope::coordinator
