// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

namespace longrope::genome {

// Elementary functions with one rounding, from the 64 bits of x87's mantissa (x86-64 is all that
// this program is built for): the C library has variants of its double functions for processors
// with and without fused multiply-adds, which differ in the last bit, and what a history holds is
// compared bit for bit wherever it is gone on with.

[[nodiscard]] inline double rounded_exp(double x) {
    return static_cast<double>(std::exp(static_cast<long double>(x)));
}

[[nodiscard]] inline double rounded_log(double x) {
    return static_cast<double>(std::log(static_cast<long double>(x)));
}

[[nodiscard]] inline double rounded_pow(double base, double exponent) {
    return static_cast<double>(
        std::pow(static_cast<long double>(base), static_cast<long double>(exponent)));
}

}  // namespace longrope::genome
