// SPDX-License-Identifier: Apache-2.0
// Vector primitives over an instruction set `Isa`, which defines: width, Floats, Ints, and the
// functions fma(a, b, c) = a * b + c and max(a, b), which returns b if either is a NaN.
//
// Everything here and in the kernels is a template on Isa and calls no inline function of the
// standard library: each object file is compiled for its own instruction set, and a shared inline
// function would let the linker pick the AVX-512 copy for a CPU that lacks it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace longrope::evaluator::cpu {

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load(const float* from) {
    typename Isa::Floats result;
    __builtin_memcpy(&result, from, sizeof result);
    return result;
}

template <class Isa>
[[gnu::always_inline]] inline void store(float* to, typename Isa::Floats value) {
    __builtin_memcpy(to, &value, sizeof value);
}

template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats broadcast(float value) {
    return value - typename Isa::Floats{};  // x - 0 is x for every x, and folded away; 0 + x is not
}

/// The first `count` < width floats, the rest `fill`.
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats load_part(const float* from, std::int64_t count,
                                                             float fill) {
    typename Isa::Floats result = broadcast<Isa>(fill);
    __builtin_memcpy(&result, from, static_cast<std::size_t>(count) * sizeof(float));
    return result;
}

template <class Isa>
[[gnu::always_inline]] inline void store_part(float* to, typename Isa::Floats value,
                                              std::int64_t count) {
    __builtin_memcpy(to, &value, static_cast<std::size_t>(count) * sizeof(float));
}

/// Sum of the lanes, halves first: the same order everywhere.
template <class Isa>
[[gnu::always_inline]] inline float sum_lanes(typename Isa::Floats value) {
    float lanes[Isa::width];
    __builtin_memcpy(lanes, &value, sizeof lanes);
    for (int half = Isa::width / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

/// Every lane from the one whose number differs in the bits of `distance`.
template <class Isa, int distance, int... lane>
[[gnu::always_inline]] inline typename Isa::Floats exchange_lanes(
    typename Isa::Floats value, std::integer_sequence<int, lane...>) {
    return __builtin_shufflevector(value, value, (lane ^ distance)...);
}

/// The largest lane, in every lane; a NaN may or may not show (the caller's sums show it).
template <class Isa, int distance = Isa::width / 2>
[[gnu::always_inline]] inline typename Isa::Floats max_of_lanes(typename Isa::Floats value) {
    constexpr std::make_integer_sequence<int, Isa::width> lanes;
    value = Isa::max(value, exchange_lanes<Isa, distance>(value, lanes));
    if constexpr (distance > 1) value = max_of_lanes<Isa, distance / 2>(value);
    return value;
}

/// 2^x for x <= 127, exactly 0 from x = -126.5 down to -infinity, NaN for NaN; 2^0 is exactly 1.
/// x = n + f with n an integer and f in [-1/2, 1/2]; 2^f by a polynomial of degree 5 whose first
/// coefficient is 1, fitted for least relative error (9.2e-8); with the rounding of float32 the
/// relative error stays below 2e-7. Adding 1.5 * 2^23 + 127 leaves n + 127 in the lowest bits,
/// which shifted by 23 are the float 2^n (n = -127 gives 0).
template <class Isa>
[[gnu::always_inline]] inline typename Isa::Floats exp2(typename Isa::Floats x) {
    using Floats = typename Isa::Floats;
    using Ints = typename Isa::Ints;
    const Floats magic = broadcast<Isa>(12582912.0F + 127.0F);
    const Floats bounded = Isa::max(broadcast<Isa>(-127.0F), x);
    const Floats shifted = bounded + magic;
    const Floats f = bounded - (shifted - magic);
    Floats p = broadcast<Isa>(0.001326472731307149F);
    p = Isa::fma(p, f, broadcast<Isa>(0.009671512991189957F));
    p = Isa::fma(p, f, broadcast<Isa>(0.05550733581185341F));
    p = Isa::fma(p, f, broadcast<Isa>(0.24022242426872253F));
    p = Isa::fma(p, f, broadcast<Isa>(0.6931470036506653F));
    p = Isa::fma(p, f, broadcast<Isa>(1.0F));
    Ints bits;
    __builtin_memcpy(&bits, &shifted, sizeof bits);
    bits = bits << 23;
    Floats scale;
    __builtin_memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

}  // namespace longrope::evaluator::cpu
