// SPDX-License-Identifier: Apache-2.0
// The attention kernel with operands in pairs, as in bfloat16, on any machine: what AVX512_BF16
// does with sixteen lanes is spelled out on four.
#include <doctest/doctest.h>
#include <emmintrin.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "evaluator/cpu/kernels/make_kernel_set.hpp"
#include "evaluator/precision.hpp"

namespace longrope::evaluator::cpu {
namespace {

struct FourLanes {
    static constexpr int width = 4;
    static constexpr int query_rows = 4;
    static constexpr int key_vectors = 2;
    static constexpr int value_vectors = 2;
    using Floats [[gnu::vector_size(16)]] = float;
    using Ints [[gnu::vector_size(16)]] = std::int32_t;
    static Floats fma(Floats a, Floats b, Floats c) { return a * b + c; }
    static Floats max(Floats a, Floats b) { return _mm_max_ps(a, b); }
};

struct Pairs {
    using Floats = FourLanes::Floats;
    using Element = std::uint16_t;
    using Operand [[gnu::vector_size(16)]] = std::uint16_t;
    static constexpr int depth = 2;

    static Element element(float value) { return bfloat16_bits(value); }
    static Operand broadcast(const Element* from) {
        Operand pairs{};
        for (int lane = 0; lane < 4; ++lane)
            pairs[2 * lane] = from[0], pairs[2 * lane + 1] = from[1];
        return pairs;
    }
    static Floats multiply_add(Operand a, Operand b, Floats c) {
        for (int lane = 0; lane < 4; ++lane) {
            for (const int at : {2 * lane, 2 * lane + 1}) {
                c[lane] += from_bfloat16_bits(a[at]) * from_bfloat16_bits(b[at]);
            }
        }
        return c;
    }
    static void store(Element* to, Floats first, Floats second) {
        for (int lane = 0; lane < 4; ++lane) {
            to[lane] = bfloat16_bits(first[lane]);
            to[4 + lane] = bfloat16_bits(second[lane]);
        }
    }
};

constexpr KernelSet kernels = make_kernel_set<FourLanes, Pairs>("pairs");

std::size_t whole(std::int64_t count, std::int64_t panel) {
    return static_cast<std::size_t>((count + panel - 1) / panel * panel);
}

/// One key/value head with one query head, all of it random.
struct Head {
    Head(std::int64_t dim, std::int64_t count) : head_dim{dim}, positions{count} {
        std::mt19937 random{static_cast<unsigned>(dim * 1000 + count)};
        std::uniform_real_distribution<float> uniform{-1.0F, 1.0F};
        for (auto* matrix : {&queries, &keys, &values}) {
            matrix->resize(static_cast<std::size_t>(dim * count));
            // Values that bfloat16 has: what differs is the order of sums, and the weights.
            for (float& x : *matrix) x = from_bfloat16_bits(bfloat16_bits(uniform(random)));
        }
    }

    /// @param left  what an earlier document left in the packed memory
    [[nodiscard]] std::vector<float> attention(std::uint16_t left) const {
        const std::size_t stride =
            whole(positions, 2) * static_cast<std::size_t>(kernels.value_panel);
        const std::size_t panels =
            whole(head_dim, kernels.value_panel) / static_cast<std::size_t>(kernels.value_panel);
        std::vector<std::uint16_t> packed_keys(
            whole(positions, kernels.key_panel) * static_cast<std::size_t>(head_dim), left);
        std::vector<std::uint16_t> packed_values(stride * panels, left);
        const PackedHead packed{packed_keys.data(), packed_values.data(),
                                static_cast<std::int64_t>(stride)};
        // In two calls, as chunks of a document come.
        const std::int64_t first = positions / 4 * 2;
        kernels.pack(keys.data(), values.data(), head_dim, first, 0, head_dim, packed);
        kernels.pack(keys.data() + first * head_dim, values.data() + first * head_dim, head_dim,
                     positions - first, first, head_dim, packed);

        std::vector<float> out(queries.size());
        std::vector<float> scratch(
            static_cast<std::size_t>(kernels.attention_scratch_floats(1, head_dim)));
        AttentionTask task;
        task.queries = queries.data();
        task.query_stride = task.out_stride = task.head_dim = head_dim;
        task.rows = positions;
        task.group = 1;
        task.score_scale = static_cast<float>(1.4426950408889634 / std::sqrt(head_dim));
        task.head = packed;
        task.out = out.data();
        task.scratch = scratch.data();
        kernels.attend(task);
        return out;
    }

    /// In double.
    [[nodiscard]] double expected(std::int64_t row, std::int64_t component) const {
        const auto at = [this](std::int64_t r, std::int64_t i) {
            return static_cast<std::size_t>(r * head_dim + i);
        };
        double mixed = 0.0;
        double sum = 0.0;
        for (std::int64_t k = 0; k <= row; ++k) {
            double score = 0.0;
            for (std::int64_t i = 0; i < head_dim; ++i) {
                score += double{queries[at(row, i)]} * keys[at(k, i)];
            }
            const double weight = std::exp(score / std::sqrt(static_cast<double>(head_dim)));
            mixed += weight * values[at(k, component)];
            sum += weight;
        }
        return mixed / sum;
    }

    std::int64_t head_dim;
    std::int64_t positions;
    std::vector<float> queries, keys, values;
};

TEST_CASE("attention over pairs is that of double, whatever an earlier document left") {
    constexpr std::uint16_t nan = 0x7fc0;
    for (const std::int64_t head_dim : {2, 8, 10, 16, 34}) {
        for (const std::int64_t positions : {1, 2, 3, 20, 21, 95}) {
            const Head head{head_dim, positions};
            const std::vector<float> found = head.attention(0);
            for (std::int64_t row = 0; row < positions; ++row) {
                for (std::int64_t i = 0; i < head_dim; ++i) {
                    INFO("head_dim ", head_dim, ", ", positions, " positions, row ", row);
                    const double expected = head.expected(row, i);
                    const float here = found[static_cast<std::size_t>(row * head_dim + i)];
                    REQUIRE(std::abs(here - expected) < 4e-3);  // weights have 8 bits
                }
            }
            // Components beyond the head's are zero from the start, and never written.
            if (head_dim % kernels.value_panel != 0) continue;
            CHECK(head.attention(nan) == found);
        }
    }
}

}  // namespace
}  // namespace longrope::evaluator::cpu
