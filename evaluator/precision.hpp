// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace longrope::evaluator {

/// What the stored weights and the inputs of matrix products are rounded to. The residual stream,
/// norms, softmax statistics and every accumulator are float32 or wider in both.
enum class Precision : std::uint8_t { f32, bf16 };

/// @param name  "f32" or "bf16"
/// @throws EvaluatorError naming what was given and what is accepted
[[nodiscard]] Precision parse_precision(const std::string& name);
[[nodiscard]] const char* precision_name(Precision precision) noexcept;

/// The 16 bits of the nearest bfloat16, ties to even; a NaN stays a NaN.
[[nodiscard]] std::uint16_t bfloat16_bits(float value) noexcept;
[[nodiscard]] float from_bfloat16_bits(std::uint16_t bits) noexcept;
/// Rounds each value to the nearest bfloat16 in place.
void round_to_bfloat16(std::span<float> values) noexcept;

}  // namespace longrope::evaluator
