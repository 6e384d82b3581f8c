// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulator/plain_libraries.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/evaluator.hpp"

namespace longrope::tests::cuda_emulator {
namespace {

using evaluator::cuda::AttentionSegment;
using evaluator::cuda::Bfloat16;
using evaluator::cuda::Product;
using evaluator::cuda::ProductOutput;
using evaluator::cuda::to_bfloat16;
using evaluator::cuda::to_float;

std::vector<float> widened(const Bfloat16* values, std::int64_t count) {
    std::vector<float> result(static_cast<std::size_t>(count));
    std::transform(values, values + count, result.begin(), to_float);
    return result;
}

float dot(const std::vector<float>& left, const std::vector<float>& right) {
    float sum = 0.0F;
    for (std::size_t i = 0; i < left.size(); ++i) sum += left[i] * right[i];
    return sum;
}

void multiply_now(const Product& shape, const Bfloat16* in, const Bfloat16* weights, void* out) {
    std::vector<std::vector<float>> rows;
    for (std::int64_t r = 0; r < shape.rows; ++r) {
        rows.push_back(widened(in + r * shape.in_stride, shape.inputs));
    }
    for (std::int64_t o = 0; o < shape.outputs; ++o) {
        const std::vector<float> weight = widened(weights + o * shape.weight_stride, shape.inputs);
        for (std::int64_t r = 0; r < shape.rows; ++r) {
            const float sum = dot(rows[static_cast<std::size_t>(r)], weight);
            const std::int64_t at = r * shape.out_stride + o;
            switch (shape.output) {
                case ProductOutput::bf16:
                    static_cast<Bfloat16*>(out)[at] = to_bfloat16(sum);
                    break;
                case ProductOutput::f32:
                    static_cast<float*>(out)[at] = sum;
                    break;
                case ProductOutput::f32_add:
                    static_cast<float*>(out)[at] += sum;
                    break;
            }
        }
    }
}

/// One query row of one head.
void attend_row(const AttentionSegment& shape, std::int64_t row, const std::vector<float>& query,
                const std::vector<std::vector<float>>& keys,
                const std::vector<std::vector<float>>& values, Bfloat16* out, float* log_sum_exp) {
    std::vector<float> scores(keys.size());
    float top = -std::numeric_limits<float>::infinity();
    for (std::size_t k = 0; k < keys.size(); ++k) {
        const bool masked = shape.causal && static_cast<std::int64_t>(k) > row;
        scores[k] =
            masked ? -std::numeric_limits<float>::infinity() : shape.scale * dot(query, keys[k]);
        top = std::max(top, scores[k]);
    }
    float sum = 0.0F;
    std::vector<float> mixed(query.size());
    for (std::size_t k = 0; k < keys.size(); ++k) {
        const float weight = std::exp(scores[k] - top);
        sum += weight;
        const float rounded = to_float(to_bfloat16(weight));
        for (std::size_t c = 0; c < mixed.size(); ++c) mixed[c] += rounded * values[k][c];
    }
    for (std::size_t c = 0; c < mixed.size(); ++c) out[c] = to_bfloat16(mixed[c] / sum);
    *log_sum_exp = top + std::log(sum);
}

void attend_now(const AttentionSegment& shape, const Bfloat16* queries, const Bfloat16* keys,
                const Bfloat16* values, Bfloat16* out, float* log_sum_exp) {
    const auto rows_of = [&shape](const Bfloat16* head) {
        std::vector<std::vector<float>> rows;
        for (std::int64_t k = 0; k < shape.keys; ++k) {
            rows.push_back(widened(head + k * shape.key_row_stride, shape.head_dim));
        }
        return rows;
    };
    const std::int64_t group = shape.heads / shape.kv_heads;
    for (std::int64_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
        const auto head_keys = rows_of(keys + kv_head * shape.key_head_stride);
        const auto head_values = rows_of(values + kv_head * shape.key_head_stride);
        for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
            for (std::int64_t r = 0; r < shape.query_rows; ++r) {
                const Bfloat16* query =
                    queries + head * shape.query_head_stride + r * shape.query_row_stride;
                attend_row(shape, r, widened(query, shape.head_dim), head_keys, head_values,
                           out + head * shape.out_head_stride + r * shape.out_row_stride,
                           log_sum_exp + head * shape.query_rows + r);
            }
        }
    }
}

void require(bool holds, const char* what) {
    if (!holds) throw EmulatorError{std::string{"a call that no library serves: "} + what};
}

}  // namespace

void PlainProducts::multiply(const Product& shape, const void* in, const void* weights, void* out,
                             evaluator::cuda::Stream stream) {
    require(shape.rows > 0 && shape.outputs > 0 && shape.inputs > 0, "a product without elements");
    require(shape.in_stride >= shape.inputs && shape.weight_stride >= shape.inputs &&
                shape.out_stride >= shape.outputs,
            "a product whose rows overlap");
    emulator_.queue(stream, [=] {
        multiply_now(shape, static_cast<const Bfloat16*>(in), static_cast<const Bfloat16*>(weights),
                     out);
    });
}

void PlainAttention::attend(const AttentionSegment& shape, const void* queries, const void* keys,
                            const void* values, void* out, float* log_sum_exp,
                            evaluator::cuda::Stream stream) {
    require(shape.query_rows > 0 && shape.keys > 0, "attention without rows");
    require(!shape.causal || shape.query_rows == shape.keys, "a causal block that is not square");
    require(shape.heads % shape.kv_heads == 0, "query heads that do not divide among KV heads");
    constexpr std::int64_t limit = std::int64_t{1} << 31U;
    require(
        (shape.kv_heads - 1) * shape.key_head_stride + shape.keys * shape.key_row_stride < limit,
        "keys that span 2^31 elements");
    emulator_.queue(stream, [=] {
        attend_now(shape, static_cast<const Bfloat16*>(queries), static_cast<const Bfloat16*>(keys),
                   static_cast<const Bfloat16*>(values), static_cast<Bfloat16*>(out), log_sum_exp);
    });
}

}  // namespace longrope::tests::cuda_emulator
