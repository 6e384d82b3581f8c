// SPDX-License-Identifier: Apache-2.0
// Row kernels of one instruction set: norm, bias, rotation, SwiGLU, log-sum-exp, rounding to
// bfloat16. Each call works on one row [columns]; rows are short and hot in cache, so none is
// split.
#pragma once

#include "evaluator/cpu/kernels/kernel_set.hpp"
#include "evaluator/cpu/kernels/vector_math.hpp"

namespace longrope::evaluator::cpu {

inline constexpr float log2_e = 1.4426950408889634F;

template <class Isa>
void rms_norm_row(const float* in, const float* weight, std::int64_t columns, float epsilon,
                  float* out) {
    constexpr std::int64_t width = Isa::width;
    typename Isa::Floats sums[2] = {};
    std::int64_t i = 0;
    for (; i + 2 * width <= columns; i += 2 * width) {
        const auto a = load<Isa>(in + i);
        const auto b = load<Isa>(in + i + width);
        sums[0] = Isa::fma(a, a, sums[0]);
        sums[1] = Isa::fma(b, b, sums[1]);
    }
    float sum = sum_lanes<Isa>(sums[0] + sums[1]);
    for (; i < columns; ++i) sum += in[i] * in[i];
    const float scale = 1.0F / __builtin_sqrtf(sum / static_cast<float>(columns) + epsilon);
    for (i = 0; i + width <= columns; i += width) {
        store<Isa>(out + i, load<Isa>(in + i) * scale * load<Isa>(weight + i));
    }
    for (; i < columns; ++i) out[i] = in[i] * scale * weight[i];
}

template <class Isa>
void add_to_row(float* row, const float* bias, std::int64_t columns) {
    constexpr std::int64_t width = Isa::width;
    std::int64_t i = 0;
    for (; i + width <= columns; i += width) {
        store<Isa>(row + i, load<Isa>(row + i) + load<Isa>(bias + i));
    }
    for (; i < columns; ++i) row[i] += bias[i];
}

template <class Isa>
void rotate_row(float* row, std::int64_t heads, std::int64_t head_dim, const float* cosine,
                const float* sine, std::int64_t pairs) {
    constexpr std::int64_t width = Isa::width;
    for (std::int64_t head = 0; head < heads; ++head, row += head_dim) {
        float* low = row;
        float* high = row + pairs;
        std::int64_t i = 0;
        for (; i + width <= pairs; i += width) {
            const auto x = load<Isa>(low + i);
            const auto y = load<Isa>(high + i);
            const auto c = load<Isa>(cosine + i);
            const auto s = load<Isa>(sine + i);
            store<Isa>(low + i, x * c - y * s);
            store<Isa>(high + i, y * c + x * s);
        }
        for (; i < pairs; ++i) {
            const float x = low[i];
            const float y = high[i];
            low[i] = x * cosine[i] - y * sine[i];
            high[i] = y * cosine[i] + x * sine[i];
        }
    }
}

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats silu_times(typename Isa::Floats gate,
                                                              typename Isa::Floats up) {
    // exp(-gate) is bounded at 2^126, where the quotient is as good as zero.
    const auto exponent = 0.0F - Isa::max(broadcast<Isa>(-126.0F), gate * log2_e);
    return gate / (exp2<Isa>(exponent) + 1.0F) * up;
}

template <class Isa>
void swiglu_row(const float* gate, const float* up, std::int64_t columns, float* out) {
    constexpr std::int64_t width = Isa::width;
    std::int64_t i = 0;
    for (; i + width <= columns; i += width) {
        store<Isa>(out + i, silu_times<Isa>(load<Isa>(gate + i), load<Isa>(up + i)));
    }
    if (i < columns) {
        const std::int64_t rest = columns - i;
        store_part<Isa>(out + i,
                        silu_times<Isa>(load_part<Isa>(gate + i, rest, 0.0F),
                                        load_part<Isa>(up + i, rest, 0.0F)),
                        rest);
    }
}

template <class Isa>
LogSumExp add_logits_to_row(const float* logits, std::int64_t columns, LogSumExp running) {
    constexpr std::int64_t width = Isa::width;
    constexpr float lowest = -__builtin_inff();
    const std::int64_t whole = columns / width * width;
    auto tops = broadcast<Isa>(running.max);
    for (std::int64_t i = 0; i < whole; i += width) tops = Isa::max(tops, load<Isa>(logits + i));
    if (whole < columns) {
        tops = Isa::max(tops, load_part<Isa>(logits + whole, columns - whole, lowest));
    }
    const float top = max_of_lanes<Isa>(tops)[0];
    typename Isa::Floats sums{};
    for (std::int64_t i = 0; i < whole; i += width) {
        sums += exp2<Isa>((load<Isa>(logits + i) - top) * log2_e);
    }
    if (whole < columns) {
        const auto rest = load_part<Isa>(logits + whole, columns - whole, lowest);
        sums += exp2<Isa>((rest - top) * log2_e);
    }
    const auto shrink = exp2<Isa>(broadcast<Isa>((running.max - top) * log2_e));
    return {top, running.sum * shrink[0] + sum_lanes<Isa>(sums)};
}

template <class Isa>
void to_bfloat16_row(const float* in, std::int64_t count, std::uint16_t* out) {
    for (std::int64_t i = 0; i < count; ++i) {
        std::uint32_t bits;
        __builtin_memcpy(&bits, in + i, sizeof bits);
        const std::uint32_t rounded = (bits + 0x7FFFU + ((bits >> 16U) & 1U)) >> 16U;
        const std::uint32_t quiet_nan = (bits >> 16U) | 0x40U;
        const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
        out[i] = static_cast<std::uint16_t>(is_nan ? quiet_nan : rounded);
    }
}

template <class Isa>
void exp2_row(const float* in, std::int64_t count, float* out) {
    std::int64_t i = 0;
    for (; i + Isa::width <= count; i += Isa::width) {
        store<Isa>(out + i, exp2<Isa>(load<Isa>(in + i)));
    }
    if (i < count) {
        store_part<Isa>(out + i, exp2<Isa>(load_part<Isa>(in + i, count - i, 0.0F)), count - i);
    }
}

}  // namespace longrope::evaluator::cpu
