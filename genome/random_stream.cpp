// SPDX-License-Identifier: Apache-2.0
#include "genome/random_stream.hpp"

#include <stdexcept>

namespace longrope::genome {

namespace {

std::uint64_t fnv1a_64(std::string_view text) {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const char character : text) {
        hash = (hash ^ static_cast<unsigned char>(character)) * 1099511628211ULL;
    }
    return hash;
}

std::uint32_t low_word(std::uint64_t value) {
    return static_cast<std::uint32_t>(value);
}
std::uint32_t high_word(std::uint64_t value) {
    return static_cast<std::uint32_t>(value >> 32U);
}

}  // namespace

RandomStream::RandomStream(std::uint64_t seed, std::string_view stream_name,
                           std::uint32_t individual)
    : key_{low_word(seed), high_word(seed)},
      counter_{0, individual, low_word(fnv1a_64(stream_name)), high_word(fnv1a_64(stream_name))},
      used_{words_.size()} {}

std::uint32_t RandomStream::next_word() {
    if (used_ == words_.size()) {
        words_ = philox4x32_10(counter_, key_);
        ++counter_[0];
        used_ = 0;
    }
    return words_[used_++];
}

std::uint32_t RandomStream::uniform_integer(std::uint32_t count) {
    if (count == 0) throw std::domain_error{"cannot draw one of 0 integers"};
    // 2^32 mod count, in 32 bits: as many of the lowest words are rejected, which leaves a whole
    // number of rounds through 0..count-1.
    const std::uint32_t rejected = (0U - count) % count;
    std::uint32_t word = next_word();
    while (word < rejected) word = next_word();
    return word % count;
}

double RandomStream::uniform_real() {
    const std::uint64_t high = next_word() >> 5U;  // 27 bits
    const std::uint64_t low = next_word() >> 6U;   // 26 bits
    return static_cast<double>((high << 26U) | low) * 0x1p-53;
}

}  // namespace longrope::genome
