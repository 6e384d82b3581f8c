// SPDX-License-Identifier: Apache-2.0
#include "genome/random_stream.hpp"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstdlib>
#include <stdexcept>

#include "genome/philox.hpp"

using longrope::genome::philox4x32_10;
using longrope::genome::PhiloxBlock;
using longrope::genome::PhiloxKey;
using longrope::genome::RandomStream;

TEST_CASE("Philox4x32-10 gives the known answers of Random123") {
    struct KnownAnswer {
        PhiloxBlock counter;
        PhiloxKey key;
        PhiloxBlock expected;
    };
    const std::array<KnownAnswer, 3> answers{{
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    }};
    for (const KnownAnswer& answer : answers) {
        CHECK(philox4x32_10(answer.counter, answer.key) == answer.expected);
    }
}

TEST_CASE("a stream reads the blocks of its seed, individual and name in order") {
    // Published FNV-1a-64 value of "foobar": 85944171f73967e8.
    RandomStream stream{0x0123456789abcdefULL, "foobar", 7};
    for (std::uint32_t block = 0; block < 3; ++block) {
        const PhiloxBlock expected =
            philox4x32_10({block, 7, 0xf73967e8, 0x85944171}, {0x89abcdef, 0x01234567});
        for (const std::uint32_t word : expected) CHECK(stream.next_word() == word);
    }
}

TEST_CASE("streams of another seed, name or individual have other numbers") {
    const auto first_word = [](std::uint64_t seed, const char* name, std::uint32_t individual) {
        return RandomStream{seed, name, individual}.next_word();
    };
    const std::uint32_t word = first_word(42, "2048", 3);
    CHECK(first_word(42, "2048", 3) == word);
    CHECK(first_word(43, "2048", 3) != word);
    CHECK(first_word(42 + (1ULL << 32U), "2048", 3) != word);
    CHECK(first_word(42, "4096", 3) != word);
    CHECK(first_word(42, "2048", 4) != word);
}

TEST_CASE("uniform integers cover their range evenly") {
    constexpr int draws = 6000;
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "random stream test", 0};
        std::array<int, 6> counts{};
        for (int draw = 0; draw < draws; ++draw) ++counts.at(random.uniform_integer(6));
        // Five standard deviations of a count of mean 1000: sqrt(6000 * 1/6 * 5/6) = 28.9.
        for (const int count : counts) CHECK(std::abs(count - draws / 6) < 145);
    }
}

TEST_CASE("uniform integers reject the words that would favour small numbers") {
    // A quarter of the 2^32 words is rejected; accepting it would give the lowest third of the
    // range half of the draws.
    constexpr std::uint32_t count = 3U << 30U;
    int lowest_third = 0;
    RandomStream random{1, "random stream test", 0};
    for (int draw = 0; draw < 6000; ++draw) {
        const std::uint32_t value = random.uniform_integer(count);
        REQUIRE(value < count);
        if (value < count / 3) ++lowest_third;
    }
    CHECK(std::abs(lowest_third - 2000) < 183);  // five standard deviations
}

TEST_CASE("the only integer below 1 is 0, and none is below 0") {
    RandomStream random{5, "random stream test", 0};
    CHECK(random.uniform_integer(1) == 0);
    CHECK_THROWS_AS((void)random.uniform_integer(0), std::domain_error);
}

TEST_CASE("uniform reals stay in [0, 1), average one half and use all 53 bits") {
    for (std::uint32_t seed = 0; seed < 20; ++seed) {
        INFO("seed = ", seed);
        RandomStream random{seed, "random stream test", 1};
        double sum = 0.0;
        bool odd = false;
        for (int draw = 0; draw < 4000; ++draw) {
            const double value = random.uniform_real();
            REQUIRE(value >= 0.0);
            REQUIRE(value < 1.0);
            odd = odd || (static_cast<std::uint64_t>(value * 0x1p53) & 1U) == 1;
            sum += value;
        }
        // Five standard deviations of the mean: 5 / sqrt(12 * 4000).
        CHECK(std::abs(sum / 4000 - 0.5) < 0.023);
        CHECK(odd);
    }
}

TEST_CASE("an event of probability 0 never happens, one of probability 1 always") {
    RandomStream random{9, "random stream test", 0};
    for (int draw = 0; draw < 1000; ++draw) {
        CHECK_FALSE(random.happens(0.0));
        CHECK(random.happens(1.0));
    }
}
