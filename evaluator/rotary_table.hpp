// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace longrope::evaluator {

/// How the angle position * frequency is formed.
enum class AngleMode : std::uint8_t {
    double_precision,  ///< in double, reduced modulo 2π, then cosine and sine rounded to float32
    float32,  ///< frequency, product and angle in float32, as Hugging Face does: for parity
};

/// @param name  "double" or "float32"
/// @throws EvaluatorError naming what was given and what is accepted
[[nodiscard]] AngleMode parse_angle_mode(const std::string& name);

/// What decides the rotation of every position.
struct RotarySettings {
    double theta = 10000.0;
    std::uint32_t rotary_dim = 0;     ///< even
    std::span<const double> factors;  ///< lambda, shape [rotary_dim / 2]
    std::uint32_t start_tokens = 0;   ///< n-hat: positions below it keep the original frequency
    double attention_scale = 1.0;     ///< m, multiplies cosine and sine of every position
    AngleMode angles = AngleMode::double_precision;
};

/// m cos φ(n, i) and m sin φ(n, i) of positions 0..positions-1, with
/// φ(n, i) = n θ^(-2i/d) for n < n-hat and n θ^(-2i/d) / λ_i from there on. Immutable.
/// Source: LongRoPE (arXiv:2402.13753), equation 3.
class RotaryTable {
public:
    /// @throws EvaluatorError if the number of factors is not rotary_dim / 2, or a factor, theta or
    ///         the attention scale is not a positive finite number
    /// @param threads  that fill it; the values are the same for any number
    RotaryTable(const RotarySettings& settings, std::int64_t positions, std::uint32_t threads = 1);

    [[nodiscard]] std::int64_t positions() const noexcept { return positions_; }
    [[nodiscard]] std::int64_t pairs() const noexcept { return pairs_; }  ///< D = rotary_dim / 2
    /// shape [positions, D]
    [[nodiscard]] std::span<const float> cosines() const noexcept { return cosines_; }
    /// shape [positions, D]
    [[nodiscard]] std::span<const float> sines() const noexcept { return sines_; }

private:
    std::int64_t positions_;
    std::int64_t pairs_;
    std::vector<float> cosines_;
    std::vector<float> sines_;
};

}  // namespace longrope::evaluator
