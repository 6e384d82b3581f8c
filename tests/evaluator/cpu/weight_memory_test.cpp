// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/weight_memory.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace longrope::evaluator::cpu {
namespace {

constexpr std::size_t kibibyte = 1024;

TEST_CASE("a layer that is dropped leaves its memory to the next one and to smaller pieces") {
    WeightMemory memory;
    std::uint64_t after_first = 0;
    for (int layer = 0; layer < 5; ++layer) {
        std::vector<WeightMemory::Piece> pieces;
        for (const std::size_t size : {4U, 8U, 24U, 12U})
            pieces.push_back(memory.take(size * kibibyte));
        if (layer == 0) after_first = memory.bytes();
        CHECK(memory.bytes() == after_first);
    }
    std::vector<WeightMemory::Piece> head;
    for (int block = 0; block < 24; ++block) head.push_back(memory.take(2 * kibibyte));
    CHECK(memory.bytes() == after_first);
    head.push_back(memory.take(2 * kibibyte));
    CHECK(memory.bytes() > after_first);
}

TEST_CASE("pieces that live at once do not overlap and start on cache lines, whoever goes first") {
    std::mt19937 random{7};
    WeightMemory memory;
    struct Held {
        WeightMemory::Piece piece;
        std::size_t size;
        std::byte mark;
    };
    std::vector<Held> held;
    for (int step = 0; step < 2000; ++step) {
        if (held.size() > 12 || (!held.empty() && random() % 2 == 0)) {
            std::vector<Held> kept;
            const std::size_t gone = random() % held.size();
            for (std::size_t i = 0; i < held.size(); ++i) {
                if (i != gone) kept.push_back(std::move(held[i]));
            }
            held = std::move(kept);
        } else {
            const std::size_t size = 1 + random() % 500;
            const auto mark = static_cast<std::byte>(random() % 256);
            held.push_back({memory.take(size), size, mark});
            std::fill_n(held.back().piece.get(), size, mark);
            CHECK(reinterpret_cast<std::uintptr_t>(held.back().piece.get()) % 64 == 0);
        }
        for (const Held& one : held) {
            REQUIRE(std::all_of(one.piece.get(), one.piece.get() + one.size,
                                [&](std::byte byte) { return byte == one.mark; }));
        }
    }
    CHECK(memory.bytes() < 40 * 576);  // at most 13 pieces of 512 at a time, and gaps
}

}  // namespace
}  // namespace longrope::evaluator::cpu
