// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

namespace longrope::genome {

/// Input and output block of the generator: four 32-bit words.
using PhiloxBlock = std::array<std::uint32_t, 4>;
using PhiloxKey = std::array<std::uint32_t, 2>;

/// Philox4x32-10: a bijection of 128-bit counters for each 64-bit key, ten rounds. Stateless, so
/// that any draw of any individual can be computed without those before it.
/// Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 3.3.
[[nodiscard]] PhiloxBlock philox4x32_10(PhiloxBlock counter, PhiloxKey key) noexcept;

}  // namespace longrope::genome
