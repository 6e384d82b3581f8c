// SPDX-License-Identifier: Apache-2.0
#include "evaluator/reference/reference_ops.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>
#include <numbers>
#include <vector>

#include "evaluator/rotary_table.hpp"

namespace longrope::evaluator::reference {
namespace {

/// Weights or a table as float32, row-major.
struct Values : Prepared {
    std::vector<float> values;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        return values.size() * sizeof(float);
    }
};

struct Tokens : Prepared {
    std::vector<std::int32_t> tokens;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        return tokens.size() * sizeof(std::int32_t);
    }
};

struct Rotary : Prepared {
    std::int64_t pairs = 0;
    std::vector<float> cosines;  // [positions, pairs]
    std::vector<float> sines;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        return 2 * cosines.size() * sizeof(float);
    }
};

const float* weights_of(const Prepared& prepared) {
    return static_cast<const Values&>(prepared).values.data();
}

const std::int32_t* tokens_of(const Prepared& prepared) {
    return static_cast<const Tokens&>(prepared).tokens.data();
}

float* row(const DeviceMatrix& matrix, std::int64_t index) {
    return reinterpret_cast<float*>(matrix.data) + index * matrix.stride;
}

double dot(const float* left, const float* right, std::int64_t count) {
    double sum = 0.0;
    for (std::int64_t i = 0; i < count; ++i) sum += double{left[i]} * double{right[i]};
    return sum;
}

/// out = x / sqrt(mean(x²) + epsilon) * weight; out may be x
void norm_one(const float* x, const float* weight, std::int64_t count, float epsilon, float* out) {
    const double mean = dot(x, x, count) / static_cast<double>(count);
    const double scale = 1.0 / std::sqrt(mean + double{epsilon});
    for (std::int64_t i = 0; i < count; ++i) out[i] = static_cast<float>(x[i] * scale * weight[i]);
}

class ReferenceOps final : public DeviceOps {
public:
    ReferenceOps(Precision precision, std::int64_t chunk_rows)
        : precision_{precision}, chunk_rows_{chunk_rows} {}

    std::int64_t chunk_rows() const noexcept override { return chunk_rows_; }

    std::unique_ptr<Prepared> prepare_embedding(const TensorView& table) override {
        return prepare_vector(table);
    }
    std::unique_ptr<Prepared> prepare_head(const TensorView& weights) override {
        return prepare_vector(weights);
    }
    std::unique_ptr<Prepared> prepare_vector(const TensorView& values) override {
        return prepare_matrix(std::span{&values, 1});
    }

    std::unique_ptr<Prepared> prepare_matrix(std::span<const TensorView> stacked) override {
        auto result = std::make_unique<Values>();
        for (const TensorView& part : stacked) {
            const std::vector<float> values = widen(part);
            result->values.insert(result->values.end(), values.begin(), values.end());
        }
        if (precision_ == Precision::bf16) round_to_bfloat16(result->values);
        return result;
    }

    std::unique_ptr<Prepared> prepare_tokens(std::span<const std::int32_t> tokens) override {
        auto result = std::make_unique<Tokens>();
        result->tokens.assign(tokens.begin(), tokens.end());
        return result;
    }

    std::unique_ptr<Prepared> prepare_rotary(const RotaryTable& table) override {
        auto result = std::make_unique<Rotary>();
        result->pairs = table.pairs();
        result->cosines.assign(table.cosines().begin(), table.cosines().end());
        result->sines.assign(table.sines().begin(), table.sines().end());
        return result;
    }

    DeviceBuffer allocate(Storage /*storage*/, std::int64_t rows, std::int64_t columns) override {
        const auto bytes = static_cast<std::size_t>(rows * columns) * sizeof(float);
        auto memory = std::make_unique<std::byte[]>(bytes);
        return {DeviceMatrix{memory.release(), rows, columns, columns, sizeof(float)},
                [](std::byte* data) { std::unique_ptr<std::byte[]>{data}.reset(); }};
    }

    void embed(const Prepared& embedding, const Prepared& tokens, std::int64_t first_position,
               const DeviceMatrix& out) override {
        for (std::int64_t r = 0; r < out.rows; ++r) {
            const float* from =
                weights_of(embedding) + tokens_of(tokens)[first_position + r] * out.columns;
            std::copy_n(from, out.columns, row(out, r));
        }
    }

    void rms_norm(const DeviceMatrix& in, const Prepared& weight, float epsilon,
                  const DeviceMatrix& out) override {
        for (std::int64_t r = 0; r < in.rows; ++r) {
            norm_one(row(in, r), weights_of(weight), in.columns, epsilon, row(out, r));
            round_operand(row(out, r), out.columns);
        }
    }

    void rms_norm_heads(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& weight,
                        float epsilon) override {
        for (std::int64_t r = 0; r < heads.rows; ++r) {
            for (std::int64_t head = 0; head < heads.columns; head += head_dim) {
                float* x = row(heads, r) + head;
                norm_one(x, weights_of(weight), head_dim, epsilon, x);
            }
        }
    }

    void add_bias(const DeviceMatrix& rows, const Prepared& bias) override {
        for (std::int64_t r = 0; r < rows.rows; ++r) {
            for (std::int64_t i = 0; i < rows.columns; ++i) row(rows, r)[i] += weights_of(bias)[i];
        }
    }

    void matmul(const DeviceMatrix& in, const Prepared& weights, const DeviceMatrix& out) override {
        for (std::int64_t r = 0; r < in.rows; ++r) {
            for (std::int64_t j = 0; j < out.columns; ++j) {
                const float* w = weights_of(weights) + j * in.columns;
                row(out, r)[j] = static_cast<float>(dot(row(in, r), w, in.columns));
            }
        }
    }

    void matmul_add(const DeviceMatrix& in, const Prepared& weights,
                    const DeviceMatrix& sum) override {
        for (std::int64_t r = 0; r < in.rows; ++r) {
            for (std::int64_t j = 0; j < sum.columns; ++j) {
                const float* w = weights_of(weights) + j * in.columns;
                float& target = row(sum, r)[j];
                target = static_cast<float>(double{target} + dot(row(in, r), w, in.columns));
            }
        }
    }

    void rotate(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& rotary,
                std::int64_t first_position) override {
        const auto& table = static_cast<const Rotary&>(rotary);
        for (std::int64_t r = 0; r < heads.rows; ++r) {
            const float* cosine = table.cosines.data() + (first_position + r) * table.pairs;
            const float* sine = table.sines.data() + (first_position + r) * table.pairs;
            for (std::int64_t head = 0; head < heads.columns; head += head_dim) {
                float* low = row(heads, r) + head;
                float* high = low + table.pairs;
                for (std::int64_t i = 0; i < table.pairs; ++i) {
                    const double x = low[i];
                    const double y = high[i];
                    low[i] = static_cast<float>(x * cosine[i] - y * sine[i]);
                    high[i] = static_cast<float>(y * cosine[i] + x * sine[i]);
                }
            }
        }
    }

    void begin_layer_kv(const AttentionShape& shape, std::int64_t positions) override {
        shape_ = shape;
        const auto size = static_cast<std::size_t>(positions * shape.kv_heads * shape.head_dim);
        keys_.assign(size, 0.0F);
        values_.assign(size, 0.0F);
    }

    void append_kv(const DeviceMatrix& keys, const DeviceMatrix& values,
                   std::int64_t first_position) override {
        const std::int64_t width = shape_.kv_heads * shape_.head_dim;
        for (std::int64_t r = 0; r < keys.rows; ++r) {
            std::copy_n(row(keys, r), width, keys_.data() + (first_position + r) * width);
            std::copy_n(row(values, r), width, values_.data() + (first_position + r) * width);
            round_operand(keys_.data() + (first_position + r) * width, width);
            round_operand(values_.data() + (first_position + r) * width, width);
        }
    }

    void attend(const DeviceMatrix& queries, std::int64_t first_position,
                const DeviceMatrix& out) override {
        const std::int64_t width = shape_.kv_heads * shape_.head_dim;
        const std::int64_t group = shape_.heads / shape_.kv_heads;
        for (std::int64_t r = 0; r < queries.rows; ++r) {
            for (std::int64_t head = 0; head < shape_.heads; ++head) {
                const std::int64_t kv_offset = head / group * shape_.head_dim;
                float* target = row(out, r) + head * shape_.head_dim;
                attend_one(row(queries, r) + head * shape_.head_dim, keys_.data() + kv_offset,
                           values_.data() + kv_offset, width, first_position + r + 1, target);
                round_operand(target, shape_.head_dim);
            }
        }
    }

    void swiglu(const DeviceMatrix& gate_up, const DeviceMatrix& out) override {
        for (std::int64_t r = 0; r < out.rows; ++r) {
            const float* gate = row(gate_up, r);
            const float* up = gate + out.columns;
            for (std::int64_t i = 0; i < out.columns; ++i) {
                const double x = gate[i];
                row(out, r)[i] = static_cast<float>(x / (1.0 + std::exp(-x)) * up[i]);
            }
            round_operand(row(out, r), out.columns);
        }
    }

    void nll(const DeviceMatrix& in, const Prepared& head, const Prepared& tokens,
             std::int64_t first_position, const DeviceMatrix& out) override {
        const float* weights = weights_of(head);
        const std::int64_t vocabulary =
            static_cast<std::int64_t>(static_cast<const Values&>(head).values.size()) / in.columns;
        std::vector<double> logits(static_cast<std::size_t>(vocabulary));
        for (std::int64_t r = 0; r < in.rows; ++r) {
            for (std::size_t v = 0; v < logits.size(); ++v) {
                logits[v] = dot(row(in, r), weights + static_cast<std::int64_t>(v) * in.columns,
                                in.columns);
            }
            const double top = *std::max_element(logits.begin(), logits.end());
            double sum = 0.0;
            for (const double logit : logits) sum += std::exp(logit - top);
            const auto target = static_cast<std::size_t>(tokens_of(tokens)[first_position + r + 1]);
            *row(out, r) = static_cast<float>(std::log(sum) - (logits[target] - top));
        }
    }

    void download(const DeviceMatrix& from, std::span<float> values) override {
        assert(from.stride == from.columns);
        std::copy_n(row(from, 0), values.size(), values.data());
    }

private:
    [[nodiscard]] double operand(double value) const {
        if (precision_ == Precision::f32) return value;
        return from_bfloat16_bits(bfloat16_bits(static_cast<float>(value)));
    }

    void round_operand(float* values, std::int64_t count) const {
        if (precision_ == Precision::bf16) {
            round_to_bfloat16({values, static_cast<std::size_t>(count)});
        }
    }

    /// One query against `visible` keys and values that lie `stride` floats apart. In bf16 the
    /// operands are rounded: the query with its scale, keys and values as they are packed, and the
    /// weights, but not their sum.
    void attend_one(const float* query, const float* keys, const float* values, std::int64_t stride,
                    std::int64_t visible, float* out) const {
        double scale = std::numbers::log2e / std::sqrt(static_cast<double>(shape_.head_dim));
        std::vector<float> scaled;
        if (precision_ == Precision::bf16) {
            scaled.assign(query, query + shape_.head_dim);
            for (float& value : scaled) value *= static_cast<float>(scale);
            round_to_bfloat16(scaled);
            query = scaled.data();
            scale = 1.0;
        }
        std::vector<double> weights(static_cast<std::size_t>(visible));
        double top = -std::numeric_limits<double>::infinity();
        for (std::int64_t k = 0; k < visible; ++k) {
            const double score = scale * dot(query, keys + k * stride, shape_.head_dim);
            weights[static_cast<std::size_t>(k)] = score;
            top = std::max(top, score);
        }
        double sum = 0.0;
        for (double& weight : weights) {
            weight = std::exp2(weight - top);
            sum += weight;
            weight = operand(weight);
        }
        std::vector<double> mixed(static_cast<std::size_t>(shape_.head_dim));
        for (std::int64_t k = 0; k < visible; ++k) {
            for (std::size_t i = 0; i < mixed.size(); ++i) {
                mixed[i] += weights[static_cast<std::size_t>(k)] *
                            values[k * stride + static_cast<std::int64_t>(i)];
            }
        }
        for (std::size_t i = 0; i < mixed.size(); ++i) out[i] = static_cast<float>(mixed[i] / sum);
    }

    Precision precision_;
    std::int64_t chunk_rows_;
    AttentionShape shape_;
    std::vector<float> keys_;    // [positions, kv_heads * head_dim], rotated
    std::vector<float> values_;  // the same shape
};

}  // namespace

std::unique_ptr<DeviceOps> make_reference_ops(Precision precision, std::int64_t chunk_rows) {
    return std::make_unique<ReferenceOps>(precision, chunk_rows);
}

}  // namespace longrope::evaluator::reference
