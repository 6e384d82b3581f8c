// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace longrope::genome {

/// What the published scaling rules know of a model.
struct RotaryFacts {
    std::size_t rotary_pairs = 0;  ///< D, half of the rotary dimension d; at least 2
    double theta = 10000.0;        ///< base of the frequencies, above 1
    double original_window = 0.0;  ///< L in tokens, above 2 pi
};

// All functions return the rescale factors lambda, shape [D], that divide the frequencies:
// lambda_i >= 1, all 1 when target_window <= original_window. s = target_window / original_window.
// All throw std::domain_error on facts outside the ranges above or a target window that is not
// positive and finite.

/// The untouched model: lambda_i = 1.
[[nodiscard]] std::vector<double> unscaled_factors(const RotaryFacts& facts);

/// Linear position interpolation (PI): lambda_i = s. Source: arXiv:2306.15595.
[[nodiscard]] std::vector<double> linear_factors(const RotaryFacts& facts, double target_window);

/// NTK-aware scaling, base theta * s^(d/(d-2)): lambda_i = s^(2i/(d-2)), so that the first factor
/// is 1 and the last s. The "lambda = s^i" of arXiv:2402.13753, section 2.1, is shorthand for it.
[[nodiscard]] std::vector<double> ntk_factors(const RotaryFacts& facts, double target_window);

/// Dynamic NTK scaling at the target length, as Hugging Face computes it with factor s:
/// lambda_i = alpha^(2i/(d-2)), alpha = s^2 - s + 1.
[[nodiscard]] std::vector<double> dynamic_ntk_factors(const RotaryFacts& facts,
                                                      double target_window);

/// NTK scaling by the critical dimension: base theta^(ln(L'/2pi) / ln(L/2pi)), so that the pair
/// whose period is just the original window gets the factor s, and higher ones more.
/// Source: LongRoPE2 (arXiv:2502.20082), section 2.3.
[[nodiscard]] std::vector<double> critical_dimension_ntk_factors(const RotaryFacts& facts,
                                                                 double target_window);

/// Turns within the original window at which YaRN's ramp begins and ends.
struct YarnTurns {
    double beta_fast = 32.0;  ///< pairs that turn more often are left alone
    double beta_slow = 1.0;   ///< pairs that turn less often are interpolated by s
};

/// YaRN's ramp over pair indices, with the rounding and clamping of the published code: `low` at
/// least 0, `high` at most d - 1 (of d, not D), 0.001 apart where they would be equal.
struct YarnRamp {
    double low;
    double high;
};
/// @throws std::domain_error if the turns are not finite and positive or do not fall
[[nodiscard]] YarnRamp yarn_ramp(const RotaryFacts& facts, YarnTurns turns);

/// YaRN: frequencies, not factors, are mixed along the ramp r_i: lambda_i = s / (s (1 - r_i) +
/// r_i). Source: arXiv:2309.00071, section 3.2 ("NTK-by-parts").
[[nodiscard]] std::vector<double> yarn_factors(const RotaryFacts& facts, double target_window,
                                               YarnTurns turns = {});

/// YaRN's ramp applied to factors instead of frequencies: lambda_i = s r_i + (1 - r_i). It is what
/// the published code of LongRoPE seeds its search with, under the name of YaRN; the middle pairs
/// are stretched far more than YaRN stretches them.
/// Source: github.com/microsoft/LongRoPE, evolution/search.py.
[[nodiscard]] std::vector<double> ramp_factors(const RotaryFacts& facts, double target_window,
                                               YarnTurns turns = {});

/// Llama 3.1's rule: pairs with a period below a quarter of the original window L are left alone,
/// those with one above L are interpolated by s; between the two, frequencies are mixed by g =
/// (turns within L - 1) / 3: 1 / lambda_i = (1 - g) / s + g. Source: Hugging Face's rope type
/// "llama3" with low_freq_factor 1 and high_freq_factor 4.
[[nodiscard]] std::vector<double> llama3_factors(const RotaryFacts& facts, double target_window);

/// Factors that were found for the extension ratio `from`, moved to the ratio `to`: lambda_i = 1 +
/// (lambda_i - 1) (to - 1) / (from - 1), so that a ratio of 1 leaves the model untouched.
/// Source: github.com/microsoft/LongRoPE, evolution/search.py, `rescale`.
/// @param from  above 1
/// @param to    at least 1
/// @throws std::domain_error on other ratios
[[nodiscard]] std::vector<double> length_rescaled(std::vector<double> factors, double from,
                                                  double to);

}  // namespace longrope::genome
