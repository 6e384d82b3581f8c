// SPDX-License-Identifier: Apache-2.0
#include "evaluator/precision.hpp"

#include <fmt/format.h>

#include <bit>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

Precision parse_precision(const std::string& name) {
    if (name == "f32") return Precision::f32;
    if (name == "bf16") return Precision::bf16;
    throw EvaluatorError{
        fmt::format("precision = \"{}\" is unknown: use \"f32\" or \"bf16\"", name)};
}

const char* precision_name(Precision precision) noexcept {
    return precision == Precision::bf16 ? "bf16" : "f32";
}

std::uint16_t bfloat16_bits(float value) noexcept {
    const auto bits = std::bit_cast<std::uint32_t>(value);
    constexpr std::uint32_t infinity = 0x7F800000U;
    if ((bits & 0x7FFFFFFFU) > infinity) return static_cast<std::uint16_t>((bits >> 16U) | 0x40U);
    const std::uint32_t to_even = 0x7FFFU + ((bits >> 16U) & 1U);
    return static_cast<std::uint16_t>((bits + to_even) >> 16U);
}

float from_bfloat16_bits(std::uint16_t bits) noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
}

void round_to_bfloat16(std::span<float> values) noexcept {
    for (float& value : values) value = from_bfloat16_bits(bfloat16_bits(value));
}

}  // namespace longrope::evaluator
