// SPDX-License-Identifier: Apache-2.0
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "evaluator/cpu/aligned_bytes.hpp"
#include "evaluator/cpu/instruction_set.hpp"
#include "evaluator/precision.hpp"

namespace longrope::evaluator::cpu {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// Kernel sets that this CPU can run.
std::vector<const KernelSet*> runnable() {
    std::vector<const KernelSet*> sets;
    for (const InstructionSet set :
         {InstructionSet::baseline, InstructionSet::avx2, InstructionSet::avx512}) {
        if (set <= detect_instruction_set()) sets.push_back(&kernels_of(set));
    }
    return sets;
}

std::vector<float> uniform(std::size_t count, float bound, unsigned seed) {
    std::mt19937 random{seed};
    std::vector<float> values(count);
    for (float& value : values) {
        value = bound * (static_cast<float>(random()) / 2147483648.0F - 1.0F);
    }
    return values;
}

TEST_CASE("exp2 stays within 2e-7 relative from 2^-126 to 1, and is exact at its ends") {
    for (const KernelSet* kernels : runnable()) {
        INFO(kernels->name);
        std::vector<float> x;
        for (int i = 0; i < 172'366; ++i) x.push_back(-0.000731F * static_cast<float>(i));
        std::vector<float> found(x.size());
        kernels->exp2(x.data(), static_cast<std::int64_t>(x.size()), found.data());
        double worst = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i) {
            const double exact = std::exp2(double{x[i]});
            worst = std::max(worst, std::abs(found[i] - exact) / exact);
        }
        CHECK(worst < 2e-7);

        const std::vector<float> ends{0.0F, -1.0F, -127.0F, -200.0F, -infinity, NAN};
        std::vector<float> at_ends(ends.size());
        kernels->exp2(ends.data(), static_cast<std::int64_t>(ends.size()), at_ends.data());
        CHECK(at_ends[0] == 1.0F);
        CHECK(at_ends[1] == 0.5F);
        CHECK(at_ends[2] == 0.0F);
        CHECK(at_ends[3] == 0.0F);
        CHECK(at_ends[4] == 0.0F);
        CHECK(std::isnan(at_ends[5]));
    }
}

TEST_CASE("attention over half a million keys keeps its last digits") {
    constexpr std::int64_t head_dim = 4;
    constexpr std::int64_t positions = 1 << 19;
    const auto keys = uniform(head_dim * positions, 1.0F, 1);
    auto values = uniform(head_dim * positions, 1.0F, 2);
    for (float& value : values) value += 1.0F;  // a mean of its own, as components of a model have
    const auto query = uniform(head_dim, 1.0F, 3);
    std::vector<double> expected(head_dim);
    double sum = 0.0;
    for (std::size_t at = 0; at < keys.size(); at += head_dim) {
        double score = 0.0;
        for (std::size_t i = 0; i < head_dim; ++i) score += double{query[i]} * keys[at + i];
        const double weight = std::exp2(score);
        for (std::size_t i = 0; i < head_dim; ++i) expected[i] += weight * values[at + i];
        sum += weight;
    }
    for (const KernelSet* kernels : runnable()) {
        INFO(kernels->name);
        std::vector<float> packed_keys(head_dim * positions);
        std::vector<float> packed_values(
            static_cast<std::size_t>(kernels->value_panel * positions));
        std::vector<float> out(head_dim);
        AlignedBytes scratch{sizeof(float) * static_cast<std::size_t>(
                                                 kernels->attention_scratch_floats(1, head_dim))};
        AttentionTask task;
        task.queries = query.data();
        task.query_stride = task.out_stride = task.head_dim = head_dim;
        task.rows = task.group = 1;
        task.first_position = positions - 1;
        task.score_scale = 1.0F;
        task.head = {packed_keys.data(), packed_values.data(), kernels->value_panel * positions};
        task.out = out.data();
        task.scratch = scratch.floats();
        kernels->pack(keys.data(), values.data(), head_dim, positions, 0, head_dim, task.head);
        kernels->attend(task);
        for (std::size_t i = 0; i < head_dim; ++i)
            CHECK(std::abs(out[i] - expected[i] / sum) < 3e-6);
    }
}

TEST_CASE("a bias is added to every column of a row of any length and to none beyond") {
    for (const KernelSet* kernels : runnable()) {
        for (const std::size_t columns : {1U, 12U, 16U, 33U, 100U}) {
            INFO(kernels->name, ", columns = ", columns);
            const auto row = uniform(columns + 1, 3.0F, 1);
            const auto bias = uniform(columns + 1, 2.0F, 2);
            std::vector<float> sum = row;
            kernels->add(sum.data(), bias.data(), static_cast<std::int64_t>(columns));
            for (std::size_t i = 0; i < columns; ++i) CHECK(sum[i] == row[i] + bias[i]);
            CHECK(sum[columns] == row[columns]);
        }
    }
}

TEST_CASE("a row may be normed in place") {
    for (const KernelSet* kernels : runnable()) {
        for (const std::int64_t columns : {8, 20, 64, 96, 128}) {
            INFO(kernels->name, ", columns = ", columns);
            auto row = uniform(static_cast<std::size_t>(columns), 3.0F, 3);
            const auto weight = uniform(static_cast<std::size_t>(columns), 2.0F, 4);
            std::vector<float> out(row.size());
            kernels->rms_norm(row.data(), weight.data(), columns, 1e-6F, out.data());
            kernels->rms_norm(row.data(), weight.data(), columns, 1e-6F, row.data());
            CHECK(row == out);
        }
    }
}

TEST_CASE("the norm of a row of any length divides by its root mean square") {
    for (const KernelSet* kernels : runnable()) {
        for (const std::size_t columns : {1U, 12U, 16U, 33U, 100U, 576U}) {
            INFO(kernels->name, ", columns = ", columns);
            const auto in = uniform(columns, 3.0F, 1);
            const auto weight = uniform(columns, 2.0F, 2);
            std::vector<float> out(columns);
            kernels->rms_norm(in.data(), weight.data(), static_cast<std::int64_t>(columns), 1e-5F,
                              out.data());
            const double squares =
                std::inner_product(in.begin(), in.end(), in.begin(), 0.0, std::plus<>{},
                                   [](double a, double b) { return a * b; });
            const double scale = 1.0 / std::sqrt(squares / static_cast<double>(columns) + 1e-5);
            for (std::size_t i = 0; i < columns; ++i) {
                CHECK(out[i] == doctest::Approx(in[i] * scale * weight[i]).epsilon(1e-6));
            }
        }
    }
}

TEST_CASE("rotation turns pairs of the first rotary components and leaves the rest") {
    for (const KernelSet* kernels : runnable()) {
        for (const std::int64_t pairs : {1, 3, 16, 19}) {
            INFO(kernels->name, ", pairs = ", pairs);
            const std::int64_t head_dim = 2 * pairs + 2;
            const auto before = uniform(static_cast<std::size_t>(2 * head_dim), 1.0F, 3);
            const auto angles = uniform(static_cast<std::size_t>(pairs), 3.0F, 4);
            std::vector<float> cosine(angles.size());
            std::vector<float> sine(angles.size());
            for (std::size_t i = 0; i < angles.size(); ++i) {
                cosine[i] = std::cos(angles[i]);
                sine[i] = std::sin(angles[i]);
            }
            auto row = before;
            kernels->rotate(row.data(), 2, head_dim, cosine.data(), sine.data(), pairs);
            for (std::size_t at = 0; at < row.size(); ++at) {
                const auto head = static_cast<std::int64_t>(at) / head_dim * head_dim;
                const std::int64_t i = static_cast<std::int64_t>(at) - head;
                if (i >= 2 * pairs) {
                    CHECK(row[at] == before[at]);
                    continue;
                }
                const auto pair = static_cast<std::size_t>(i % pairs);
                const double x = before[static_cast<std::size_t>(head) + pair];
                const double y = before[static_cast<std::size_t>(head + pairs) + pair];
                const double expected = i < pairs ? x * cosine[pair] - y * sine[pair]
                                                  : y * cosine[pair] + x * sine[pair];
                CHECK(row[at] == doctest::Approx(expected).epsilon(1e-5));
            }
        }
    }
}

TEST_CASE("SwiGLU is gate times sigmoid times up, also far from zero") {
    for (const KernelSet* kernels : runnable()) {
        INFO(kernels->name);
        auto gate = uniform(53, 20.0F, 5);
        gate[0] = 200.0F;
        gate[1] = -200.0F;
        gate[2] = 0.0F;
        gate[52] = NAN;
        const auto up = uniform(53, 2.0F, 6);
        std::vector<float> out(53);
        kernels->swiglu(gate.data(), up.data(), 53, out.data());
        for (std::size_t i = 0; i < 52; ++i) {
            const double expected = gate[i] / (1.0 + std::exp(-double{gate[i]})) * up[i];
            CHECK(std::abs(out[i] - expected) <= 1e-6 * std::abs(expected) + 1e-30);
        }
        CHECK(std::isnan(out[52]));
    }
}

TEST_CASE("log-sum-exp is the same however the logits are cut into blocks") {
    for (const KernelSet* kernels : runnable()) {
        const auto logits = uniform(1003, 30.0F, 7);
        double exact = 0.0;
        for (const float logit : logits) exact += std::exp(double{logit});
        exact = std::log(exact);
        for (const std::int64_t block : {1, 7, 64, 1003}) {
            INFO(kernels->name, ", block = ", block);
            LogSumExp running{-infinity, 0.0F};
            for (std::int64_t at = 0; at < 1003; at += block) {
                running = kernels->add_logits(logits.data() + at,
                                              std::min<std::int64_t>(block, 1003 - at), running);
            }
            CHECK(double{running.max} + std::log(double{running.sum}) ==
                  doctest::Approx(exact).epsilon(1e-6));
        }
    }
}

TEST_CASE("rounding to bfloat16 agrees with the plain function") {
    auto values = uniform(300, 1000.0F, 8);
    values[0] = 0.0F;
    values[1] = infinity;
    values[2] = NAN;
    values[3] = 1.00390625F;  // half way between two: the even one is below
    for (const KernelSet* kernels : runnable()) {
        INFO(kernels->name);
        std::vector<std::uint16_t> found(values.size());
        kernels->to_bfloat16(values.data(), static_cast<std::int64_t>(values.size()), found.data());
        for (std::size_t i = 0; i < values.size(); ++i) {
            CHECK(found[i] == bfloat16_bits(values[i]));
        }
        CHECK(from_bfloat16_bits(found[3]) == 1.0F);
        CHECK(std::isnan(from_bfloat16_bits(found[2])));
    }
}

}  // namespace
}  // namespace longrope::evaluator::cpu
