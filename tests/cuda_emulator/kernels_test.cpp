// SPDX-License-Identifier: Apache-2.0
// Each kernel against its plain twin in double, in ascending and in shuffled order of threads.
#include "evaluator/cuda/kernels/kernels.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/precision.hpp"
#include "tests/cuda_emulator/device_array.hpp"

namespace longrope::tests::cuda_emulator {
namespace {

using namespace evaluator::cuda;

/// Unit roundoff of bfloat16, and a little for what float32 adds before the rounding.
constexpr double bf16_error = 0x1p-8 * 1.01;
/// Unit roundoff of float32.
constexpr double f32_error = 0x1p-24;

std::vector<float> random_values(std::size_t count, unsigned seed, float scale = 1.0F) {
    std::mt19937 random{seed};
    std::vector<float> values(count);
    for (float& value : values) {
        value = scale * (static_cast<float>(random()) * 0x1p-31F - 1.0F);
    }
    return values;
}

std::vector<Bfloat16> rounded(const std::vector<float>& values) {
    std::vector<Bfloat16> result;
    for (const float value : values) result.push_back(to_bfloat16(value));
    return result;
}

void check_close(double found, double expected, double tolerance) {
    CHECK(std::abs(found - expected) <= tolerance);
}

/// Calls `test` with an emulator for each order of threads.
template <class Test>
void in_every_order(const Test& test) {
    for (const std::uint64_t shuffle : {0U, 1U, 7U}) {
        INFO("shuffle = ", shuffle);
        Emulator emulator{{.shuffle = shuffle}};
        test(emulator);
    }
}

struct Shape {
    std::int64_t rows;
    std::int64_t columns;
};
/// One element, a warp and a block exactly, one more than each.
constexpr Shape shapes[] = {{1, 1}, {8, 32}, {9, 33}, {3, 256}, {5, 257}, {17, 600}};

std::size_t count_of(const Shape& shape) {
    return static_cast<std::size_t>(shape.rows * shape.columns);
}
std::size_t at(std::int64_t index) {
    return static_cast<std::size_t>(index);
}

TEST_CASE("kernels: rounding to bfloat16 is that of the evaluator, for every exponent and tie") {
    for (std::uint32_t high = 0; high <= 0xFFFFU; ++high) {
        for (const std::uint32_t low : {0U, 1U, 0x7FFFU, 0x8000U, 0x8001U, 0xFFFFU}) {
            const auto value = std::bit_cast<float>((high << 16U) | low);
            const std::uint16_t found = to_bfloat16(value).bits;
            if (found != evaluator::bfloat16_bits(value)) {
                FAIL("bits ", (high << 16U) | low, " give ", found);
            }
        }
        const float exact = to_float(Bfloat16{static_cast<std::uint16_t>(high)});
        if (std::bit_cast<std::uint32_t>(exact) != high << 16U) FAIL("bits ", high);
    }
}

TEST_CASE("kernels: embed gathers rows of the table") {
    for (const Shape& shape : shapes) {
        const auto table = rounded(random_values(at(11 * shape.columns), 1));
        std::vector<std::int32_t> tokens(at(shape.rows));
        for (std::size_t i = 0; i < tokens.size(); ++i) {
            tokens[i] = static_cast<std::int32_t>(i * 7 % 11);
        }
        in_every_order([&](Emulator& emulator) {
            const DeviceArray<Bfloat16> device_table{emulator, table};
            const DeviceArray<std::int32_t> device_tokens{emulator, tokens};
            const DeviceArray<float> out{emulator, count_of(shape)};
            embed(device_table.data(), device_tokens.data(),
                  {out.data(), shape.rows, shape.columns, shape.columns},
                  emulator.compute_stream());
            const auto found = out.download();
            for (std::int64_t i = 0; i < shape.rows * shape.columns; ++i) {
                const std::int64_t token = tokens[at(i / shape.columns)];
                CHECK(found[at(i)] ==
                      to_float(table[at(token * shape.columns + i % shape.columns)]));
            }
        });
    }
}

/// x / sqrt(mean(x²) + epsilon) * weight
std::vector<double> norm_twin(const float* x, const std::vector<float>& weight, double epsilon) {
    double sum = 0.0;
    for (std::size_t i = 0; i < weight.size(); ++i) sum += double{x[i]} * x[i];
    const double scale = 1.0 / std::sqrt(sum / static_cast<double>(weight.size()) + epsilon);
    std::vector<double> result;
    for (std::size_t i = 0; i < weight.size(); ++i) result.push_back(x[i] * scale * weight[i]);
    return result;
}

TEST_CASE("kernels: rms_norm norms every row") {
    for (const Shape& shape : shapes) {
        const auto in = random_values(count_of(shape), 2, 3.0F);
        const auto weight = random_values(at(shape.columns), 3);
        in_every_order([&](Emulator& emulator) {
            const DeviceArray<float> device_in{emulator, in};
            const DeviceArray<float> device_weight{emulator, weight};
            // Rows of the output lie further apart than they are long.
            const DeviceArray<Bfloat16> out{emulator, at(shape.rows * (shape.columns + 3))};
            rms_norm({device_in.data(), shape.rows, shape.columns, shape.columns},
                     device_weight.data(), 1e-5F,
                     {out.data(), shape.rows, shape.columns, shape.columns + 3},
                     emulator.compute_stream());
            const auto found = out.download();
            for (std::int64_t r = 0; r < shape.rows; ++r) {
                const auto expected = norm_twin(&in[at(r * shape.columns)], weight, 1e-5);
                for (std::int64_t i = 0; i < shape.columns; ++i) {
                    check_close(to_float(found[at(r * (shape.columns + 3) + i)]), expected[at(i)],
                                bf16_error * std::abs(expected[at(i)]));
                }
                CHECK(std::isnan(to_float(found[at(r * (shape.columns + 3) + shape.columns)])));
            }
        });
    }
}

TEST_CASE("kernels: rms_norm_heads norms every head in place and nothing beside") {
    for (const std::int64_t head_dim : {4, 32, 128}) {
        constexpr std::int64_t rows = 7;
        const std::int64_t columns = 3 * head_dim;
        const auto heads = random_values(at(rows * (columns + 5)), 4);
        const auto weight = random_values(at(head_dim), 5);
        in_every_order([&](Emulator& emulator) {
            const DeviceArray<float> device{emulator, heads};
            const DeviceArray<float> device_weight{emulator, weight};
            rms_norm_heads({device.data(), rows, columns, columns + 5}, head_dim,
                           device_weight.data(), 1e-6F, emulator.compute_stream());
            const auto found = device.download();
            for (std::int64_t r = 0; r < rows; ++r) {
                const std::int64_t first = r * (columns + 5);
                for (std::int64_t head = 0; head < columns; head += head_dim) {
                    const auto expected = norm_twin(&heads[at(first + head)], weight, 1e-6);
                    for (std::int64_t i = 0; i < head_dim; ++i) {
                        // Sums of 4 + 5 terms, a root, three products.
                        check_close(found[at(first + head + i)], expected[at(i)],
                                    16 * f32_error * std::abs(expected[at(i)]));
                    }
                }
                for (std::int64_t i = columns; i < columns + 5; ++i) {
                    CHECK(found[at(first + i)] == heads[at(first + i)]);
                }
            }
        });
    }
}

TEST_CASE("kernels: rotate turns the pairs of every head and leaves the rest") {
    struct Heads {
        std::int64_t head_dim;
        std::int64_t pairs;
    };
    for (const Heads& shape : {Heads{2, 1}, Heads{12, 6}, Heads{128, 64}, Heads{20, 5}}) {
        constexpr std::int64_t rows = 5;
        const std::int64_t columns = 3 * shape.head_dim;
        const auto heads = random_values(at(rows * columns), 6);
        const auto cosines = random_values(at(rows * shape.pairs), 7);
        const auto sines = random_values(at(rows * shape.pairs), 8);
        in_every_order([&](Emulator& emulator) {
            const DeviceArray<float> device{emulator, heads};
            const DeviceArray<float> device_cosines{emulator, cosines};
            const DeviceArray<float> device_sines{emulator, sines};
            rotate({device.data(), rows, columns, columns}, shape.head_dim, device_cosines.data(),
                   device_sines.data(), shape.pairs, emulator.compute_stream());
            const auto found = device.download();
            for (std::int64_t i = 0; i < rows * columns; ++i) {
                const std::int64_t row = i / columns;
                const std::int64_t component = i % shape.head_dim;
                if (component >= 2 * shape.pairs) {
                    CHECK(found[at(i)] == heads[at(i)]);
                    continue;
                }
                const bool low = component < shape.pairs;
                const std::int64_t pair = low ? component : component - shape.pairs;
                const double cosine = cosines[at(row * shape.pairs + pair)];
                const double sine = sines[at(row * shape.pairs + pair)];
                const double self = heads[at(i)] * cosine;
                const double other =
                    heads[at(low ? i + shape.pairs : i - shape.pairs)] * (low ? -sine : sine);
                check_close(found[at(i)], self + other,
                            2 * f32_error * (std::abs(self) + std::abs(other)));
            }
        });
    }
}

TEST_CASE("kernels: split_heads rounds each head to its place") {
    constexpr std::int64_t rows = 6;
    constexpr std::int64_t head_dim = 20;
    constexpr std::int64_t heads = 5;
    const auto in = random_values(at(rows * heads * head_dim), 9);
    for (const HeadStrides strides : {HeadStrides{.row = head_dim, .head = 10 * head_dim},
                                      HeadStrides{.row = heads * head_dim, .head = head_dim}}) {
        in_every_order([&](Emulator& emulator) {
            const DeviceArray<float> device{emulator, in};
            const DeviceArray<Bfloat16> out{emulator, at(heads * 10 * head_dim)};
            split_heads({device.data(), rows, heads * head_dim, heads * head_dim}, head_dim,
                        out.data(), strides, emulator.compute_stream());
            const auto found = out.download();
            for (std::int64_t i = 0; i < rows * heads * head_dim; ++i) {
                const std::int64_t row = i / (heads * head_dim);
                const std::int64_t head = i / head_dim % heads;
                const std::int64_t place = head * strides.head + row * strides.row + i % head_dim;
                CHECK(found[at(place)].bits == evaluator::bfloat16_bits(in[at(i)]));
            }
        });
    }
}

TEST_CASE("kernels: add_bias and swiglu go element by element") {
    for (const Shape& shape : shapes) {
        auto gate_up = random_values(2 * count_of(shape), 10, 8.0F);
        gate_up[0] = -100.0F;  // exp(100) is beyond float32, and the limit is 0
        const auto bias = random_values(at(2 * shape.columns), 11);
        in_every_order([&](Emulator& emulator) {
            const DeviceArray<float> device{emulator, gate_up};
            const DeviceArray<float> device_bias{emulator, bias};
            const DeviceArray<Bfloat16> out{emulator, count_of(shape)};
            const Matrix<float> rows{device.data(), shape.rows, 2 * shape.columns,
                                     2 * shape.columns};
            swiglu(rows, {out.data(), shape.rows, shape.columns, shape.columns},
                   emulator.compute_stream());
            add_bias(rows, device_bias.data(), emulator.compute_stream());
            const auto product = out.download();
            for (std::int64_t i = 0; i < shape.rows * shape.columns; ++i) {
                const std::int64_t place =
                    i / shape.columns * 2 * shape.columns + i % shape.columns;
                const double gate = gate_up[at(place)];
                const double expected =
                    gate / (1.0 + std::exp(-gate)) * gate_up[at(place + shape.columns)];
                check_close(to_float(product[at(i)]), expected,
                            bf16_error * std::abs(expected) + 1e-37);
            }
            const auto sums = device.download();
            for (std::size_t i = 0; i < sums.size(); ++i) {
                CHECK(sums[i] == gate_up[i] + bias[i % bias.size()]);
            }
        });
    }
}

TEST_CASE("kernels: merged segments are attention to all keys") {
    constexpr std::int64_t rows = 9;
    constexpr std::int64_t padded_rows = 16;
    constexpr std::int64_t heads = 3;
    constexpr std::int64_t head_dim = 20;
    constexpr std::int64_t width = heads * head_dim;
    constexpr std::int64_t segments = 4;
    // A segment with one key: its output is the value, its log-sum-exp the score.
    in_every_order([&](Emulator& emulator) {
        const DeviceArray<float> values{emulator, at(rows * width)};
        const DeviceArray<float> sums[] = {{emulator, at(heads * padded_rows)},
                                           {emulator, at(heads * padded_rows)}};
        const DeviceArray<Bfloat16> out{emulator, at(rows * (width + 4))};
        std::vector<std::vector<Bfloat16>> keys;
        std::vector<std::vector<float>> scores;
        for (std::int64_t s = 0; s < segments; ++s) {
            keys.push_back(rounded(random_values(at(rows * width), static_cast<unsigned>(20 + s))));
            // Scores far apart: the weights of most are lost in one of them.
            scores.push_back(random_values(at(heads * padded_rows), static_cast<unsigned>(30 + s),
                                           s == 2 ? 100.0F : 3.0F));
            const DeviceArray<Bfloat16> segment{emulator, keys.back()};
            const DeviceArray<float> log_sum_exp{emulator, scores.back()};
            const bool last = s + 1 == segments;
            merge_segment(
                {segment.data(), rows, width, width}, log_sum_exp.data(), head_dim,
                {.values = values.data(),
                 .log_sum_exp = s == 0 ? nullptr : sums[s % 2].data(),
                 .next_log_sum_exp = sums[(s + 1) % 2].data(),
                 .head_stride = padded_rows},
                last ? Matrix<Bfloat16>{out.data(), rows, width, width + 4} : Matrix<Bfloat16>{},
                emulator.compute_stream());
            emulator.synchronize(emulator.compute_stream());
        }
        const auto found = out.download();
        const auto total = sums[segments % 2].download();
        for (std::int64_t i = 0; i < rows * width; ++i) {
            const std::int64_t row = i / width;
            const std::int64_t place = i % width / head_dim * padded_rows + row;
            double sum = 0.0;
            double mixed = 0.0;
            for (std::size_t s = 0; s < segments; ++s) {
                const double weight = std::exp(double{scores[s][at(place)]} - 100.0);
                sum += weight;
                mixed += weight * to_float(keys[s][at(i)]);
            }
            // Values are at most 1, and each merge adds a few roundings of float32.
            check_close(to_float(found[at(row * (width + 4) + i % width)]), mixed / sum,
                        bf16_error * std::abs(mixed / sum) + 50 * f32_error);
            check_close(total[at(place)], std::log(sum) + 100.0, 1e-5 * 100.0);
        }
    });
}

/// Losses of `logits` [rows, vocabulary], cut into tiles.
std::vector<float> losses(Emulator& emulator, const std::vector<float>& logits,
                          const std::vector<std::int32_t>& targets, std::int64_t tile) {
    const auto rows = static_cast<std::int64_t>(targets.size());
    const std::int64_t vocabulary = static_cast<std::int64_t>(logits.size()) / rows;
    const DeviceArray<float> device{emulator, logits};
    const DeviceArray<std::int32_t> device_targets{emulator, targets};
    const DeviceArray<float> running{emulator, at(3 * rows)};
    const DeviceArray<float> out{emulator, at(rows)};
    for (std::int64_t first = 0; first < vocabulary; first += tile) {
        const std::int64_t entries = std::min(tile, vocabulary - first);
        add_logits(
            {device.data() + first, rows, entries, vocabulary}, device_targets.data(),
            {.first_entry = first, .first = first == 0, .last = first + entries == vocabulary},
            {running.data(), running.data() + rows, running.data() + 2 * rows}, out.data(),
            emulator.compute_stream());
    }
    return out.download();
}

TEST_CASE("kernels: losses over tiles are those of the whole vocabulary, up to 152,064 entries") {
    struct Vocabulary {
        std::int64_t rows;
        std::int64_t entries;
        std::int64_t tile;
    };
    for (const Vocabulary& shape :
         {Vocabulary{9, 1, 1}, Vocabulary{5, 101, 101}, Vocabulary{17, 101, 32},
          Vocabulary{3, 3000, 999}, Vocabulary{2, 152'064, 8192}}) {
        INFO(shape.rows, " x ", shape.entries, " in tiles of ", shape.tile);
        const auto logits = random_values(at(shape.rows * shape.entries), 40, 20.0F);
        std::vector<std::int32_t> targets;
        for (std::int64_t r = 0; r < shape.rows; ++r) {  // the ends of the vocabulary among them
            targets.push_back(static_cast<std::int32_t>(r == 0 ? shape.entries - 1
                                                               : (r - 1) * 12345 % shape.entries));
        }
        in_every_order([&](Emulator& emulator) {
            const auto found = losses(emulator, logits, targets, shape.tile);
            for (std::int64_t r = 0; r < shape.rows; ++r) {
                const float* row = &logits[at(r * shape.entries)];
                double sum = 0.0;
                for (std::int64_t v = 0; v < shape.entries; ++v) sum += std::exp(double{row[v]});
                const double expected = std::log(sum) - row[targets[at(r)]];
                // 4,752 terms of a lane, 19 tiles, differences of up to 40.
                check_close(found[at(r)], expected, 5000 * f32_error + 80 * f32_error);
            }
        });
    }
}

TEST_CASE("kernels: a logit that is not finite is not hidden") {
    Emulator emulator;
    for (const float bad : {NAN, INFINITY}) {
        for (const std::size_t place : {0U, 40U, 99U}) {
            std::vector<float> logits = random_values(100, 41);
            logits[place] = bad;
            CHECK_FALSE(std::isfinite(losses(emulator, logits, {50}, 32)[0]));
        }
    }
    CHECK(std::isnan(losses(emulator, std::vector<float>(100, -INFINITY), {50}, 32)[0]));
}

// 2,048,000 positions of 4,096 components: the last row alone, where 32 bits would have wrapped.
constexpr std::int64_t long_rows = 2'048'000;
constexpr std::int64_t long_columns = 4096;

/// Sparse arrays hold zeros, on which the kernels' results are known: what matters is where they
/// are written.
struct LastRow {
    Emulator emulator;
    explicit LastRow(unsigned block_x) { emulator.run_only_block(block_x); }
    void run() { emulator.synchronize(emulator.compute_stream()); }
    [[nodiscard]] Stream stream() const { return emulator.compute_stream(); }
};
constexpr unsigned last_element_block = long_rows - 1;
constexpr unsigned last_warp_block = (long_rows - 1) / block_warps;

TEST_CASE("kernels: the last of 2,048,000 rows of 4,096 is read and written where it lies") {
    const SparseArray<float> state{long_rows * long_columns};
    const SparseArray<Bfloat16> operand{long_rows * long_columns};
    float* last_state = state.data() + (long_rows - 1) * long_columns;
    Bfloat16* last_operand = operand.data() + (long_rows - 1) * long_columns;
    const Matrix<float> rows{state.data(), long_rows, long_columns, long_columns};
    const Matrix<Bfloat16> operands{operand.data(), long_rows, long_columns, long_columns};
    const std::vector<float> ones(long_columns, 1.0F);

    SUBCASE("embed, from the last row of as large a table") {
        const SparseArray<std::int32_t> tokens{long_rows};
        tokens.data()[long_rows - 1] = long_rows - 1;
        last_operand[0] = to_bfloat16(3.0F);
        LastRow one{last_element_block};
        embed(operand.data(), tokens.data(), rows, one.stream());
        one.run();
        CHECK(last_state[0] == 3.0F);
    }
    SUBCASE("rms_norm") {
        last_state[long_columns - 1] = 64.0F;  // the mean of squares is 1
        LastRow one{last_warp_block};
        rms_norm(rows, ones.data(), 0.0F, operands, one.stream());
        one.run();
        CHECK(to_float(last_operand[long_columns - 1]) == 64.0F);
    }
    SUBCASE("rms_norm_heads") {
        last_state[long_columns - 1] = 8.0F;
        LastRow one{static_cast<unsigned>((long_rows * 64 - 1) / block_warps)};
        rms_norm_heads(rows, 64, ones.data(), 0.0F, one.stream());
        one.run();
        CHECK(last_state[long_columns - 1] == 8.0F);
        CHECK(std::isnan(last_state[long_columns - 65]));  // of zeros, with epsilon 0
    }
    SUBCASE("add_bias") {
        LastRow one{last_element_block};
        add_bias(rows, ones.data(), one.stream());
        one.run();
        CHECK(last_state[0] == 1.0F);
        CHECK(last_state[255] == 1.0F);
    }
    SUBCASE("rotate") {
        const SparseArray<float> table{long_rows * 64};
        table.data()[(long_rows - 1) * 64 + 1] = 2.0F;
        last_state[1] = 5.0F;
        LastRow one{last_element_block};
        rotate(rows, 128, table.data(), table.data(), 64, one.stream());
        one.run();
        CHECK(last_state[1] == 10.0F);
        CHECK(last_state[65] == 10.0F);
    }
    SUBCASE("split_heads, of which the last lies beyond 2^31") {
        last_state[long_columns - 1] = 7.0F;
        LastRow one{last_element_block};
        one.emulator.run_only_block(last_element_block, 15);
        split_heads(rows, 128, operand.data(), {.row = 128, .head = long_rows * 128}, one.stream());
        one.run();
        CHECK(to_float(operand.data()[long_rows * long_columns - 1]) == 7.0F);
    }
    SUBCASE("swiglu") {
        last_state[0] = 100.0F;
        last_state[long_columns / 2] = 3.0F;
        LastRow one{last_element_block};
        swiglu(rows, {operand.data(), long_rows, long_columns / 2, long_columns}, one.stream());
        one.run();
        CHECK(to_float(last_operand[0]) == 300.0F);
    }
    SUBCASE("merge_segment") {
        const SparseArray<float> sums{32 * long_rows};
        const SparseArray<float> next{32 * long_rows};
        last_operand[0] = to_bfloat16(4.0F);
        last_state[0] = 2.0F;
        LastRow one{last_element_block};
        merge_segment(operands, sums.data(), 128,
                      {state.data(), sums.data(), next.data(), long_rows}, {}, one.stream());
        one.run();
        CHECK(last_state[0] == 3.0F);  // both log-sum-exp are 0
        CHECK(next.data()[long_rows - 1] == doctest::Approx(std::log(2.0)));
    }
    SUBCASE("add_logits") {
        const SparseArray<float> running{3 * long_rows};
        const SparseArray<std::int32_t> targets{long_rows};
        const SparseArray<float> losses{long_rows};
        LastRow one{last_warp_block};
        add_logits(rows, targets.data(), {.first_entry = 0, .first = true, .last = true},
                   {running.data(), running.data() + long_rows, running.data() + 2 * long_rows},
                   losses.data(), one.stream());
        one.run();
        CHECK(losses.data()[long_rows - 1] == doctest::Approx(std::log(4096.0)));
    }
}

}  // namespace
}  // namespace longrope::tests::cuda_emulator
