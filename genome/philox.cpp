// SPDX-License-Identifier: Apache-2.0
#include "genome/philox.hpp"

namespace longrope::genome {

namespace {

constexpr int rounds = 10;
constexpr std::uint64_t multiplier0 = 0xd2511f53U;
constexpr std::uint64_t multiplier1 = 0xcd9e8d57U;
constexpr std::uint32_t weyl0 = 0x9e3779b9U;  // golden ratio
constexpr std::uint32_t weyl1 = 0xbb67ae85U;  // sqrt(3) - 1

std::uint32_t low_word(std::uint64_t value) {
    return static_cast<std::uint32_t>(value);
}
std::uint32_t high_word(std::uint64_t value) {
    return static_cast<std::uint32_t>(value >> 32U);
}

}  // namespace

PhiloxBlock philox4x32_10(PhiloxBlock counter, PhiloxKey key) noexcept {
    for (int round = 0; round < rounds; ++round) {
        const std::uint64_t product0 = multiplier0 * counter[0];
        const std::uint64_t product1 = multiplier1 * counter[2];
        counter = {high_word(product1) ^ counter[1] ^ key[0], low_word(product1),
                   high_word(product0) ^ counter[3] ^ key[1], low_word(product0)};
        key[0] += weyl0;
        key[1] += weyl1;
    }
    return counter;
}

}  // namespace longrope::genome
