// SPDX-License-Identifier: Apache-2.0
#include "tests/benchmarks/multiply_add_peak.hpp"

#include <immintrin.h>

#include <algorithm>
#include <ctime>

namespace longrope::benchmarks {
namespace {

constexpr int chains = 12;  // enough to hide the latency of two units
constexpr int steps = 1 << 20;

double seconds() {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

[[gnu::target("avx512f"), gnu::noinline]] void multiply_add_512() {
    __m512 sums[chains] = {};
    for (__m512& sum : sums) asm volatile("" : "+v"(sum));  // not known to be equal
    __m512 factor = _mm512_set1_ps(0.5F);
    for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 12
        for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, factor, factor);
        asm volatile("" : "+v"(factor));  // no step may be left out
    }
    for (__m512& sum : sums) asm volatile("" : : "v"(sum));
}

[[gnu::target("avx512f,avx512bf16"), gnu::noinline]] void multiply_add_512_bf16() {
    __m512 sums[chains] = {};
    for (__m512& sum : sums) asm volatile("" : "+v"(sum));  // not known to be equal
    __m512i halves = _mm512_set1_epi32(0x3F003F00);
    for (int step = 0; step < steps; ++step) {
        const auto factor = reinterpret_cast<__m512bh>(halves);
#pragma GCC unroll 12
        for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, factor, factor);
        asm volatile("" : "+v"(halves));  // no step may be left out
    }
    for (__m512& sum : sums) asm volatile("" : : "v"(sum));
}

[[gnu::target("avx2,fma"), gnu::noinline]] void multiply_add_256() {
    __m256 sums[chains] = {};
    for (__m256& sum : sums) asm volatile("" : "+x"(sum));  // not known to be equal
    __m256 factor = _mm256_set1_ps(0.5F);
    for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 12
        for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, factor, factor);
        asm volatile("" : "+x"(factor));
    }
    for (__m256& sum : sums) asm volatile("" : : "x"(sum));
}

[[gnu::noinline]] void multiply_add_128() {
    __m128 sums[chains] = {};
    for (__m128& sum : sums) asm volatile("" : "+x"(sum));  // not known to be equal
    __m128 factor = _mm_set1_ps(0.5F);
    for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 12
        for (__m128& sum : sums) sum = _mm_add_ps(_mm_mul_ps(sum, factor), factor);
        asm volatile("" : "+x"(factor));
    }
    for (__m128& sum : sums) asm volatile("" : : "x"(sum));
}

}  // namespace

double multiply_add_peak(evaluator::cpu::InstructionSet set, evaluator::Precision precision) {
    using evaluator::cpu::InstructionSet;
    const bool pairs = precision == evaluator::Precision::bf16;
    const bool wide = set == InstructionSet::avx512;
    const bool middle = set == InstructionSet::avx2;
    const double products = pairs ? 32.0 : wide ? 16.0 : middle ? 8.0 : 4.0;
    double best = 1e30;
    for (int run = 0; run < 7; ++run) {
        const double start = seconds();
        if (pairs) {
            multiply_add_512_bf16();
        } else if (wide) {
            multiply_add_512();
        } else if (middle) {
            multiply_add_256();
        } else {
            multiply_add_128();
        }
        best = std::min(best, seconds() - start);
    }
    return 1e-9 * 2.0 * products * chains * steps / best;
}

}  // namespace longrope::benchmarks
