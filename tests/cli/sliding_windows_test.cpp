// SPDX-License-Identifier: Apache-2.0
#include "cli/sliding_windows.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

using namespace longrope::cli;  // the test is about this namespace alone

namespace {

/// How often each token of the document is scored.
std::vector<int> scored_tokens(const SlidingWindow& reading) {
    const std::uint64_t bos = reading.begin_with_bos ? 1 : 0;
    std::vector<int> scored(reading.tokens, 0);
    for (const TextWindow& window : sliding_windows(reading)) {
        const std::uint64_t end = window.offset + window.positions - bos;
        for (std::uint64_t token = end - window.scored; token < end; ++token) ++scored[token];
    }
    return scored;
}

}  // namespace

TEST_CASE("windows of 8 positions over 20 tokens with a stride of 4") {
    const SlidingWindow with_bos{20, true, 8, 4};
    CHECK(sliding_windows(with_bos) ==
          std::vector<TextWindow>{{0, 8, 7}, {4, 8, 4}, {8, 8, 4}, {12, 8, 4}, {16, 5, 1}});
    const SlidingWindow without{20, false, 8, 4};
    CHECK(sliding_windows(without) ==
          std::vector<TextWindow>{{0, 8, 7}, {4, 8, 4}, {8, 8, 4}, {12, 8, 4}});
}

TEST_CASE("a window as long as the document reads it whole") {
    CHECK(sliding_windows({20, true, 21, 4}) == std::vector<TextWindow>{{0, 21, 20}});
    CHECK(sliding_windows({20, true, 100, 4}) == std::vector<TextWindow>{{0, 21, 20}});
    CHECK(sliding_windows({20, false, 20, 4}) == std::vector<TextWindow>{{0, 20, 19}});
}

TEST_CASE("a document without a token to score has no windows") {
    CHECK(sliding_windows({0, true, 8, 4}).empty());
    CHECK(sliding_windows({1, false, 8, 4}).empty());
    CHECK(sliding_windows({1, true, 8, 4}) == std::vector<TextWindow>{{0, 2, 1}});
}

TEST_CASE("up to a window's stride every token is scored once, but for a first one without BOS") {
    for (std::uint64_t tokens = 1; tokens < 40; ++tokens) {
        for (std::uint64_t window = 2; window < 20; ++window) {
            for (const bool bos : {true, false}) {
                const std::uint64_t capacity = window - (bos ? 1 : 0);
                for (std::uint64_t stride = 1; stride < capacity + (bos ? 1 : 0); ++stride) {
                    INFO(tokens, " tokens, window ", window, ", stride ", stride, ", BOS ", bos);
                    std::vector<int> expected(tokens, 1);
                    if (!bos) expected[0] = 0;
                    CHECK(scored_tokens({tokens, bos, window, stride}) == expected);
                }
            }
        }
    }
}

TEST_CASE("a stride beyond the window leaves out what lies between, and scores no token twice") {
    for (std::uint64_t stride = 7; stride < 30; ++stride) {
        INFO("stride ", stride);
        const auto scored = scored_tokens({60, true, 8, stride});
        for (std::uint64_t token = 0; token < 60; ++token) {
            CHECK(scored[token] == (token % stride < 7 ? 1 : 0));
        }
    }
}

TEST_CASE("no window is longer than asked for, and none scores more than has something before it") {
    for (std::uint64_t window = 2; window < 12; ++window) {
        for (std::uint64_t stride = 1; stride < 15; ++stride) {
            for (const bool bos : {true, false}) {
                for (const TextWindow& found : sliding_windows({50, bos, window, stride})) {
                    CHECK(found.positions <= window);
                    CHECK(found.scored >= 1);
                    CHECK(found.scored < found.positions);
                    CHECK(found.offset % stride == 0);
                }
            }
        }
    }
}
