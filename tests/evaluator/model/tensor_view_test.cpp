// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/tensor_view.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

using longrope::evaluator::DataType;
using longrope::evaluator::TensorView;
using longrope::evaluator::widen;
using longrope::evaluator::widen_bf16;
using longrope::evaluator::widen_f16;

TEST_CASE("every half that is a number widens to the value that IEEE 754 gives it") {
    for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
        const std::uint32_t exponent = (bits >> 10U) & 0x1FU;
        const std::uint32_t fraction = bits & 0x3FFU;
        if (exponent == 0x1FU) continue;
        const double significand = exponent == 0 ? fraction / 1024.0 : 1.0 + fraction / 1024.0;
        const double magnitude =
            std::ldexp(significand, exponent == 0 ? -14 : static_cast<int>(exponent) - 15);
        const double expected = (bits & 0x8000U) != 0 ? -magnitude : magnitude;
        const float found = widen_f16(static_cast<std::uint16_t>(bits));
        if (static_cast<double>(found) != expected ||
            std::signbit(found) != std::signbit(expected)) {
            INFO("bits ", bits);
            CHECK(static_cast<double>(found) == expected);
        }
    }
}

TEST_CASE("infinities and NaNs widen with sign and payload") {
    CHECK(std::bit_cast<std::uint32_t>(widen_f16(0x7C00)) == 0x7F800000U);
    CHECK(std::bit_cast<std::uint32_t>(widen_f16(0xFC00)) == 0xFF800000U);
    CHECK(std::bit_cast<std::uint32_t>(widen_f16(0x7E01)) == 0x7FC02000U);
    CHECK(std::bit_cast<std::uint32_t>(widen_f16(0xFC01)) == 0xFF802000U);
    CHECK(std::bit_cast<std::uint32_t>(widen_bf16(0x7F80)) == 0x7F800000U);
    CHECK(std::bit_cast<std::uint32_t>(widen_bf16(0xFFC1)) == 0xFFC10000U);
}

TEST_CASE("a tensor widens in storage order, wherever it lies in memory") {
    // One byte in front: nothing in a file promises alignment.
    const std::vector<std::uint8_t> raw{0xFF, 0x00, 0x3C, 0x00, 0xC0, 0x01, 0x00, 0x80, 0x3F};
    const std::span<const std::byte> bytes = std::as_bytes(std::span{raw});
    const TensorView halves{"h", DataType::f16, {3}, bytes.subspan(1, 6)};
    CHECK(widen(halves) == std::vector<float>{1.0F, -2.0F, 0x1.0p-24F});
    const TensorView brains{"b", DataType::bf16, {1}, bytes.subspan(7, 2)};
    CHECK(widen(brains) == std::vector<float>{1.0F});
    const TensorView floats{"f", DataType::f32, {1, 1}, bytes.subspan(5, 4)};
    CHECK(widen(floats) == std::vector<float>{std::bit_cast<float>(0x3F800001U)});
    CHECK(floats.elements() == 1);
    CHECK(TensorView{"e", DataType::f32, {4, 0}, {}}.elements() == 0);
    CHECK(widen(TensorView{"e", DataType::f32, {4, 0}, {}}).empty());
}
