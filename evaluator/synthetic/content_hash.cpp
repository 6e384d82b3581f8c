// SPDX-License-Identifier: Apache-2.0
#include "evaluator/synthetic/content_hash.hpp"

#include <bit>

namespace longrope::evaluator {

void ContentHash::add_byte(std::uint8_t byte) noexcept {
    state_ = (state_ ^ byte) * 0x100000001B3U;
}

ContentHash& ContentHash::add(std::uint64_t value) noexcept {
    for (unsigned shift = 0; shift < 64; shift += 8) {
        add_byte(static_cast<std::uint8_t>((value >> shift) & 0xFFU));
    }
    return *this;
}

ContentHash& ContentHash::add(std::string_view text) noexcept {
    for (const char character : text) add_byte(static_cast<std::uint8_t>(character));
    return *this;
}

ContentHash& ContentHash::add(std::span<const double> values) noexcept {
    for (const double value : values) add(std::bit_cast<std::uint64_t>(value));
    return *this;
}

std::uint64_t ContentHash::value() const noexcept {
    std::uint64_t mixed = state_;
    mixed = (mixed ^ (mixed >> 30U)) * 0xBF58476D1CE4E5B9U;
    mixed = (mixed ^ (mixed >> 27U)) * 0x94D049BB133111EBU;
    return mixed ^ (mixed >> 31U);
}

double ContentHash::unit() const noexcept {
    return static_cast<double>(value() >> 11U) * 0x1.0p-53;
}

}  // namespace longrope::evaluator
