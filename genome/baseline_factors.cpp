// SPDX-License-Identifier: Apache-2.0
#include "genome/baseline_factors.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "genome/rounded_functions.hpp"

namespace longrope::genome {

namespace {

constexpr double two_pi = 2.0 * std::numbers::pi;

void require_valid(const RotaryFacts& facts) {
    if (facts.rotary_pairs < 2) {
        throw std::domain_error{
            fmt::format("{} rotary pairs; scaling rules need at least 2", facts.rotary_pairs)};
    }
    if (!(facts.theta > 1.0) || !std::isfinite(facts.theta)) {
        throw std::domain_error{
            fmt::format("the rotary base theta is {}; it must be above 1", facts.theta)};
    }
    if (!(facts.original_window > two_pi) || !std::isfinite(facts.original_window)) {
        throw std::domain_error{fmt::format(
            "the original window is {} tokens; it must be at least 7", facts.original_window)};
    }
}

/// s, but never below 1.
double extension(const RotaryFacts& facts, double target_window) {
    require_valid(facts);
    if (!(target_window > 0.0) || !std::isfinite(target_window)) {
        throw std::domain_error{
            fmt::format("the target window is {} tokens; it must be above 0", target_window)};
    }
    return std::max(1.0, target_window / facts.original_window);
}

/// lambda_i = last^(i / (D-1)).
std::vector<double> geometric(std::size_t count, double last) {
    std::vector<double> factors(count);
    for (std::size_t i = 0; i < count; ++i) {
        factors[i] = rounded_pow(last, static_cast<double>(i) / static_cast<double>(count - 1));
    }
    return factors;
}

/// r_i in [0, 1]: where each pair stands on YaRN's ramp; shape [D].
std::vector<double> ramp_positions(const RotaryFacts& facts, YarnTurns turns) {
    const YarnRamp ramp = yarn_ramp(facts, turns);
    std::vector<double> positions(facts.rotary_pairs);
    for (std::size_t i = 0; i < positions.size(); ++i) {
        const double pair = static_cast<double>(i);
        positions[i] = std::clamp((pair - ramp.low) / (ramp.high - ramp.low), 0.0, 1.0);
    }
    return positions;
}

}  // namespace

std::vector<double> unscaled_factors(const RotaryFacts& facts) {
    require_valid(facts);
    return std::vector<double>(facts.rotary_pairs, 1.0);
}

std::vector<double> linear_factors(const RotaryFacts& facts, double target_window) {
    return std::vector<double>(facts.rotary_pairs, extension(facts, target_window));
}

std::vector<double> ntk_factors(const RotaryFacts& facts, double target_window) {
    return geometric(facts.rotary_pairs, extension(facts, target_window));
}

std::vector<double> dynamic_ntk_factors(const RotaryFacts& facts, double target_window) {
    const double s = extension(facts, target_window);
    return geometric(facts.rotary_pairs, s * s - s + 1.0);
}

std::vector<double> critical_dimension_ntk_factors(const RotaryFacts& facts, double target_window) {
    const double s = extension(facts, target_window);
    const double log_window = rounded_log(facts.original_window / two_pi);
    // base'/theta = theta^(ln s / ln(L/2pi)), and lambda_i = (base'/theta)^(i/D).
    const double log_base_ratio = rounded_log(facts.theta) * rounded_log(s) / log_window;
    std::vector<double> factors(facts.rotary_pairs);
    for (std::size_t i = 0; i < factors.size(); ++i) {
        factors[i] = rounded_exp(log_base_ratio * static_cast<double>(i) /
                                 static_cast<double>(factors.size()));
    }
    return factors;
}

YarnRamp yarn_ramp(const RotaryFacts& facts, YarnTurns turns) {
    require_valid(facts);
    if (!(turns.beta_slow > 0.0 && turns.beta_fast > turns.beta_slow) ||
        !std::isfinite(turns.beta_fast)) {
        throw std::domain_error{
            fmt::format("YaRN's beta_fast is {} and beta_slow {}; both must be above 0, and "
                        "beta_fast above beta_slow",
                        turns.beta_fast, turns.beta_slow)};
    }
    const double dimension = 2.0 * static_cast<double>(facts.rotary_pairs);
    const auto pair_turning = [&](double times) {
        return dimension * rounded_log(facts.original_window / (times * two_pi)) /
               (2.0 * rounded_log(facts.theta));
    };
    YarnRamp ramp{.low = std::max(std::floor(pair_turning(turns.beta_fast)), 0.0),
                  .high = std::min(std::ceil(pair_turning(turns.beta_slow)), dimension - 1.0)};
    if (ramp.low == ramp.high) ramp.high += 0.001;
    return ramp;
}

std::vector<double> yarn_factors(const RotaryFacts& facts, double target_window, YarnTurns turns) {
    const double s = extension(facts, target_window);
    std::vector<double> factors = ramp_positions(facts, turns);
    for (double& value : factors) value = s / (s * (1.0 - value) + value);
    return factors;
}

std::vector<double> ramp_factors(const RotaryFacts& facts, double target_window, YarnTurns turns) {
    const double s = extension(facts, target_window);
    std::vector<double> factors = ramp_positions(facts, turns);
    for (double& value : factors) value = s * value + (1.0 - value);
    return factors;
}

std::vector<double> llama3_factors(const RotaryFacts& facts, double target_window) {
    constexpr double low_turns = 1.0;
    constexpr double high_turns = 4.0;
    const double s = extension(facts, target_window);
    std::vector<double> factors(facts.rotary_pairs);
    for (std::size_t i = 0; i < factors.size(); ++i) {
        const double exponent = static_cast<double>(i) / static_cast<double>(factors.size());
        const double turns = facts.original_window / (two_pi * rounded_pow(facts.theta, exponent));
        const double mix = std::clamp((turns - low_turns) / (high_turns - low_turns), 0.0, 1.0);
        factors[i] = s / ((1.0 - mix) + s * mix);
    }
    return factors;
}

std::vector<double> length_rescaled(std::vector<double> factors, double from, double to) {
    if (!(from > 1.0 && std::isfinite(from) && to >= 1.0 && std::isfinite(to))) {
        throw std::domain_error{"factors are rescaled from a ratio above 1 to one of at least 1"};
    }
    const double share = (to - 1.0) / (from - 1.0);
    for (double& factor : factors) factor = 1.0 + (factor - 1.0) * share;
    return factors;
}

}  // namespace longrope::genome
