// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/matrix_product.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include "tests/evaluator/random_model.hpp"

namespace longrope::evaluator::cpu {
namespace {

constexpr std::uint32_t thread_count = 2;

MatrixLibrary library() {
    return MatrixLibrary{choose_instruction_set(tests::tested_isa()), Precision::f32, thread_count};
}

std::vector<float> random_values(std::int64_t count, unsigned seed) {
    std::mt19937 random{seed};
    std::uniform_real_distribution<float> value{-1.0F, 1.0F};
    std::vector<float> values(static_cast<std::size_t>(count));
    std::ranges::generate(values, [&] { return value(random); });
    return values;
}

/// Where the rows begin that are packed together.
std::vector<std::int64_t> packing_steps(const PackedMatrix& matrix) {
    CHECK(matrix.packing_rows() >= least_packing_rows);
    CHECK(matrix.packing_rows() <= most_packing_rows);
    std::vector<std::int64_t> steps;
    for (std::int64_t first = 0; first < matrix.outputs(); first += matrix.packing_rows()) {
        steps.push_back(first);
    }
    return steps;
}

void pack(PackedMatrix& matrix, std::span<const float> weights, std::int64_t inputs,
          std::span<const std::int64_t> steps, std::uint32_t thread) {
    for (const std::int64_t first : steps) {
        const std::int64_t rows = std::min(matrix.packing_rows(), matrix.outputs() - first);
        matrix.pack(first,
                    weights.subspan(static_cast<std::size_t>(first * inputs),
                                    static_cast<std::size_t>(rows * inputs)),
                    thread);
    }
}

std::vector<float> product(const PackedMatrix& matrix, const std::vector<float>& in) {
    std::vector<float> out(static_cast<std::size_t>(tile_rows * matrix.outputs()));
    matrix.multiply(in.data(), out.data(), 1);
    return out;
}

TEST_CASE("packed weights multiply as plain ones do, whatever the shape (cpu backend)") {
    MatrixLibrary shared = library();
    for (const std::int64_t outputs : {1, 7, 64, 65, 200, 640}) {
        for (const std::int64_t inputs : {8, 33, 96}) {
            CAPTURE(outputs);
            CAPTURE(inputs);
            const std::vector<float> weights = random_values(outputs * inputs, 1);
            const std::vector<float> in = random_values(tile_rows * inputs, 2);
            PackedMatrix matrix{shared, outputs, inputs};
            pack(matrix, weights, inputs, packing_steps(matrix), 0);
            const std::vector<float> out = product(matrix, in);
            std::vector<float> sum = out;
            matrix.multiply_add(in.data(), sum.data(), 0);
            double worst = 0.0;
            for (std::int64_t row = 0; row < tile_rows; ++row) {
                for (std::int64_t column = 0; column < outputs; ++column) {
                    double exact = 0.0;
                    for (std::int64_t i = 0; i < inputs; ++i) {
                        exact += double{in[static_cast<std::size_t>(row * inputs + i)]} *
                                 weights[static_cast<std::size_t>(column * inputs + i)];
                    }
                    const auto at = static_cast<std::size_t>(row * outputs + column);
                    worst = std::max(
                        {worst, std::abs(out[at] - exact), std::abs(sum[at] - 2.0 * exact) / 2.0});
                }
            }
            // Some roundings of sums of at most 96 products below 1.
            CHECK(worst < 96 * 6e-8 * 8);
        }
    }
}

TEST_CASE("a row that is not finite leaves the other rows of its tile as they are (cpu backend)") {
    constexpr std::int64_t outputs = 65;
    constexpr std::int64_t inputs = 33;
    MatrixLibrary shared = library();
    const std::vector<float> weights = random_values(outputs * inputs, 1);
    PackedMatrix matrix{shared, outputs, inputs};
    pack(matrix, weights, inputs, packing_steps(matrix), 0);
    std::vector<float> in = random_values(tile_rows * inputs, 2);
    const std::vector<float> before = product(matrix, in);
    constexpr std::int64_t row = 2;
    std::fill_n(in.begin() + row * inputs, inputs, std::numeric_limits<float>::quiet_NaN());
    const std::vector<float> after = product(matrix, in);
    for (std::int64_t i = 0; i < tile_rows * outputs; ++i) {
        const auto at = static_cast<std::size_t>(i);
        REQUIRE((i / outputs == row ? std::isnan(after[at]) : after[at] == before[at]));
    }
}

TEST_CASE("rows packed backwards by two threads at once give the same bits (cpu backend)") {
    constexpr std::int64_t outputs = 40 * 64 + 3;
    constexpr std::int64_t inputs = 96;
    const std::vector<float> weights = random_values(outputs * inputs, 3);
    const std::vector<float> in = random_values(tile_rows * inputs, 4);
    MatrixLibrary shared = library();
    PackedMatrix forwards{shared, outputs, inputs};
    const std::vector<std::int64_t> steps = packing_steps(forwards);
    pack(forwards, weights, inputs, steps, 0);

    std::vector<std::int64_t> backwards = steps;
    std::ranges::reverse(backwards);
    const std::span<const std::int64_t> all{backwards};
    PackedMatrix shared_out{shared, outputs, inputs};
    {
        const std::jthread other{
            [&] { pack(shared_out, weights, inputs, all.first(all.size() / 2), 1); }};
        pack(shared_out, weights, inputs, all.subspan(all.size() / 2), 0);
    }
    CHECK(product(shared_out, in) == product(forwards, in));
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // which end such a program
TEST_CASE("weights for which there is no memory are std::bad_alloc (cpu backend)") {
    MatrixLibrary shared = library();
    constexpr std::int64_t much = std::int64_t{1} << 24U;  // 2^48 weights
    CHECK_THROWS_AS(PackedMatrix(shared, much, much), std::bad_alloc);
}
#endif

}  // namespace
}  // namespace longrope::evaluator::cpu
