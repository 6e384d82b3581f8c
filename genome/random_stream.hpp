// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "genome/philox.hpp"

namespace longrope::genome {

/// The random numbers of one individual: a counter-based stream named by (seed, stream name,
/// individual). Its draws depend on nothing else, so that its state is never saved and a resumed
/// search is the same search. Draws are our own, since standard distributions differ between
/// libraries.
///
/// Philox key = {seed low, seed high}; counter = {block, individual, FNV-1a-64 of the stream name
/// low, high}. The four words of block 0 come first, then those of block 1, and so on.
class RandomStream {
public:
    /// @param seed         the run's seed
    /// @param stream_name  the stage's name, or what else is drawn ("documents")
    /// @param individual   number of the individual within the stage
    RandomStream(std::uint64_t seed, std::string_view stream_name, std::uint32_t individual);

    /// The next 32 random bits. A stream repeats after 2^34 words.
    [[nodiscard]] std::uint32_t next_word();

    /// Uniform over 0..count-1, exactly: words that would favour small numbers are drawn again.
    /// @throws std::domain_error if count is 0
    [[nodiscard]] std::uint32_t uniform_integer(std::uint32_t count);

    /// Uniform over the multiples of 2^-53 in [0, 1); takes two words, the high bits first.
    [[nodiscard]] double uniform_real();

    /// True with the given probability: never at 0, always at 1. Always takes two words.
    [[nodiscard]] bool happens(double probability) { return uniform_real() < probability; }

private:
    PhiloxKey key_;
    PhiloxBlock counter_;
    PhiloxBlock words_{};
    std::size_t used_;  // of words_
};

}  // namespace longrope::genome
