// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace longrope::evaluator {

/// A hash of what a task asks for, from which the synthetic evaluator derives everything that
/// looks random: the same task takes as long, and faults or not, on every worker and in every run.
/// FNV-1a over the bytes, little-endian, with SplitMix64's finaliser for even low bits.
class ContentHash {
public:
    ContentHash& add(std::uint64_t value) noexcept;
    ContentHash& add(std::string_view text) noexcept;
    /// The bit patterns of the values.
    ContentHash& add(std::span<const double> values) noexcept;

    [[nodiscard]] std::uint64_t value() const noexcept;
    /// In [0, 1), from the upper 53 bits.
    [[nodiscard]] double unit() const noexcept;

private:
    void add_byte(std::uint8_t byte) noexcept;

    std::uint64_t state_ = 0xCBF29CE484222325U;
};

}  // namespace longrope::evaluator
