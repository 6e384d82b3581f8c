// SPDX-License-Identifier: Apache-2.0
#include "tests/gpu/attention_row.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <set>
#include <span>
#include <vector>

#include "evaluator/precision.hpp"
#include "evaluator/rotary_table.hpp"

namespace longrope::tests {
namespace {

using evaluator::DeviceMatrix;
using evaluator::DeviceOps;
using evaluator::RotaryTable;
using evaluator::Storage;
using evaluator::TensorView;

constexpr std::int64_t hidden = 128;
constexpr float epsilon = 1e-6F;
constexpr double gain = 1.5;         // of queries and keys: scores of about 25 times the cosine
constexpr double needle_turn = 2.5;  // radians from the query's hidden state to a needle's
constexpr double other_turn = 1.0;   // to all others
constexpr std::int32_t query_token = 0;
constexpr std::int32_t common_token = 1;
constexpr std::int32_t first_needle = 2;

using Vector = std::vector<float>;

Vector random_vector(std::mt19937& random, std::int64_t size, double scale) {
    Vector result(static_cast<std::size_t>(size));
    for (float& value : result) {
        value = static_cast<float>(scale * (static_cast<double>(random()) / 2147483648.0 - 1.0));
    }
    return result;
}

double dot(std::span<const float> a, std::span<const float> b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
    return sum;
}

float rounded(float value) {
    return evaluator::from_bfloat16_bits(evaluator::bfloat16_bits(value));
}

/// Where the needles lie: at the ends, in the middle, around multiples of 65,536.
std::vector<std::int64_t> needle_positions(std::int64_t positions) {
    std::set<std::int64_t> found{0, 1, positions / 2, positions - 2};
    for (const std::int64_t at : {65535, 65536, 131072, 1'048'575, 1'048'576, 1'999'999}) {
        if (at < positions - 1) found.insert(at);
    }
    return {found.begin(), found.end()};
}

/// Everything that the row is computed from, as the host knows it.
class Problem {
public:
    explicit Problem(const AttentionRow& shape)
        : shape_{shape},
          // The fastest pair turns by 0.2 radians over two million positions.
          factors_(static_cast<std::size_t>(shape.head_dim / 2), 1e7),
          rotary_{{.theta = 10000.0,
                   .rotary_dim = static_cast<std::uint32_t>(shape.head_dim),
                   .factors = factors_},
                  shape.positions},
          needles_{needle_positions(shape.positions)} {
        std::mt19937 random{1};
        const auto vocabulary = static_cast<std::int64_t>(needles_.size()) + first_needle;
        const Vector query = random_vector(random, hidden, 1.0);
        for (std::int64_t token = 0; token < vocabulary; ++token) {
            const double turn = token == query_token    ? 0.0
                                : token == common_token ? other_turn
                                                        : needle_turn;
            append(table_, turned(query, turn, random));
        }
        tokens_.assign(static_cast<std::size_t>(shape.positions), common_token);
        for (std::size_t i = 0; i < needles_.size(); ++i) {
            tokens_[static_cast<std::size_t>(needles_[i])] =
                first_needle + static_cast<std::int32_t>(i);
        }
        tokens_.back() = query_token;
        // Keys repeat the hidden state, each head from another component on, and queries have it
        // negated, with the same offset for the heads of one KV head: what is turned away from the
        // query's hidden state attracts it, and the last row does not attend to itself. Values are
        // random projections.
        const std::int64_t group = shape.heads / shape.kv_heads;
        for (std::int64_t head = 0; head < shape.heads; ++head)
            append_selection(query_, head / group, -gain);
        for (std::int64_t head = 0; head < shape.kv_heads; ++head)
            append_selection(key_value_, head, gain);
        append(key_value_, random_vector(random, shape.kv_heads * shape.head_dim * hidden, 0.1));
        const std::int64_t size = shape.heads * shape.head_dim;
        identity_.assign(static_cast<std::size_t>(size * size), 0.0F);
        for (std::int64_t i = 0; i < size; ++i)
            identity_[static_cast<std::size_t>(i * (size + 1))] = 1.0F;
        ones_.assign(hidden, 1.0F);
    }

    /// The last row through the backend; shape [heads * head_dim].
    [[nodiscard]] Vector computed(DeviceOps& ops) const {
        const std::int64_t kv_size = shape_.kv_heads * shape_.head_dim;
        const std::int64_t size = shape_.heads * shape_.head_dim;
        const auto vocabulary = static_cast<std::int64_t>(needles_.size()) + first_needle;
        const std::int64_t chunk = std::min(ops.chunk_rows(), shape_.positions);
        const auto table = ops.prepare_embedding(view(table_, {vocabulary, hidden}));
        const auto norm = ops.prepare_vector(view(ones_, {hidden}));
        const auto query = ops.prepare_matrix(std::array{view(query_, {size, hidden})});
        const auto key_value =
            ops.prepare_matrix(std::array{view(key_value_, {2 * kv_size, hidden})});
        const auto identity = ops.prepare_matrix(std::array{view(identity_, {size, size})});
        const auto tokens = ops.prepare_tokens(tokens_);
        const auto rotary = ops.prepare_rotary(rotary_);
        const auto state = ops.allocate(Storage::state, chunk, hidden);
        const auto normed = ops.allocate(Storage::operand, chunk, hidden);
        const auto kv = ops.allocate(Storage::product, chunk, 2 * kv_size);
        const auto queries = ops.allocate(Storage::product, chunk, size);
        const auto attended = ops.allocate(Storage::operand, chunk, size);
        const auto out = ops.allocate(Storage::state, chunk, size);

        ops.begin_layer_kv({shape_.heads, shape_.kv_heads, shape_.head_dim}, shape_.positions);
        const auto norm_rows = [&](std::int64_t first, std::int64_t rows) {
            const DeviceMatrix to = state.view().row_range(0, rows);
            ops.embed(*table, *tokens, first, to);
            ops.rms_norm(to, *norm, epsilon, normed.view().row_range(0, rows));
            return normed.view().row_range(0, rows);
        };
        std::int64_t last = 0;
        for (std::int64_t first = 0; first < shape_.positions; first += chunk) {
            const std::int64_t rows = std::min(chunk, shape_.positions - first);
            const DeviceMatrix both = kv.view().row_range(0, rows);
            ops.matmul(norm_rows(first, rows), *key_value, both);
            const DeviceMatrix keys = both.column_range(0, kv_size);
            ops.rotate(keys, shape_.head_dim, *rotary, first);
            ops.append_kv(keys, both.column_range(kv_size, kv_size), first);
            last = first;
        }
        const std::int64_t rows = shape_.positions - last;
        const DeviceMatrix rotated = queries.view().row_range(0, rows);
        ops.matmul(norm_rows(last, rows), *query, rotated);
        ops.rotate(rotated, shape_.head_dim, *rotary, last);
        ops.attend(rotated, last, attended.view().row_range(0, rows));
        ops.matmul_add(attended.view().row_range(0, rows), *identity,
                       out.view().row_range(0, rows));
        Vector result(static_cast<std::size_t>(size));
        ops.download(out.view().row_range(rows - 1, 1), result);
        return result;
    }

    [[nodiscard]] AttentionRowResult compare(const Vector& found) const {
        AttentionRowResult result;
        result.needles = static_cast<int>(needles_.size());
        result.least_needle = 1.0;
        const std::int64_t group = shape_.heads / shape_.kv_heads;
        for (std::int64_t kv_head = 0; kv_head < shape_.kv_heads; ++kv_head) {
            const std::vector<double> weights = softmax(kv_head);
            for (const std::int64_t needle : needles_) {
                result.least_needle =
                    std::min(result.least_needle, weights[static_cast<std::size_t>(needle)]);
            }
            const auto [sum, magnitude] = weighted_values(kv_head, weights);
            for (std::int64_t head = kv_head * group; head < (kv_head + 1) * group; ++head) {
                for (std::int64_t c = 0; c < shape_.head_dim; ++c) {
                    const auto i = static_cast<std::size_t>(c);
                    const double value =
                        found[static_cast<std::size_t>(head * shape_.head_dim + c)];
                    const double error = std::abs(value - sum[i]) / magnitude[i];
                    if (!(error <= result.largest_error)) result.largest_error = error;  // NaN too
                }
            }
        }
        return result;
    }

private:
    static void append(Vector& to, const Vector& values) {
        to.insert(to.end(), values.begin(), values.end());
    }
    /// [head_dim, hidden]: component c is hidden component (c + head) % hidden, scaled.
    void append_selection(Vector& to, std::int64_t head, double scale) const {
        Vector rows(static_cast<std::size_t>(shape_.head_dim * hidden), 0.0F);
        for (std::int64_t c = 0; c < shape_.head_dim; ++c) {
            rows[static_cast<std::size_t>(c * hidden + (c + head) % hidden)] =
                static_cast<float>(scale);
        }
        append(to, rows);
    }
    static TensorView view(const Vector& values, std::vector<std::int64_t> shape) {
        return {.type = evaluator::DataType::f32,
                .shape = std::move(shape),
                .bytes = std::as_bytes(std::span{values})};
    }
    /// A vector of length 1 at an angle to `from`.
    static Vector turned(const Vector& from, double angle, std::mt19937& random) {
        Vector other = random_vector(random, hidden, 1.0);
        const double along = dot(other, from) / dot(from, from);
        for (std::size_t i = 0; i < other.size(); ++i) {
            other[i] -= static_cast<float>(along) * from[i];
        }
        const double from_length = std::sqrt(dot(from, from));
        const double other_length = std::sqrt(dot(other, other));
        for (std::size_t i = 0; i < other.size(); ++i) {
            other[i] = static_cast<float>(std::cos(angle) * double{from[i]} / from_length +
                                          std::sin(angle) * double{other[i]} / other_length);
        }
        return other;
    }

    [[nodiscard]] float kept(float value) const { return shape_.rounded ? rounded(value) : value; }

    /// A token's hidden state after the norm, as an operand.
    [[nodiscard]] Vector normed(std::int32_t token) const {
        Vector row(table_.begin() + token * hidden, table_.begin() + (token + 1) * hidden);
        for (float& value : row) value = kept(value);
        const double scale = 1.0 / std::sqrt(dot(row, row) / double{hidden} + double{epsilon});
        for (float& value : row) value = kept(static_cast<float>(double{value} * scale));
        return row;
    }
    /// Rows [first, first + head_dim) of a projection of a token.
    [[nodiscard]] Vector projected(const Vector& weights, std::int64_t first,
                                   std::int32_t token) const {
        const Vector in = normed(token);
        Vector result(static_cast<std::size_t>(shape_.head_dim));
        for (std::int64_t c = 0; c < shape_.head_dim; ++c) {
            Vector row(weights.begin() + (first + c) * hidden,
                       weights.begin() + (first + c + 1) * hidden);
            for (float& value : row) value = kept(value);
            result[static_cast<std::size_t>(c)] = static_cast<float>(dot(row, in));
        }
        return result;
    }
    [[nodiscard]] Vector rotated(const Vector& head, std::int64_t position) const {
        const auto pairs = static_cast<std::size_t>(shape_.head_dim / 2);
        const auto first = static_cast<std::size_t>(position) * pairs;
        const auto cosines = rotary_.cosines().subspan(first, pairs);
        const auto sines = rotary_.sines().subspan(first, pairs);
        Vector result(head.size());
        for (std::size_t i = 0; i < pairs; ++i) {
            result[i] = kept(head[i] * cosines[i] - head[i + pairs] * sines[i]);
            result[i + pairs] = kept(head[i + pairs] * cosines[i] + head[i] * sines[i]);
        }
        return result;
    }

    [[nodiscard]] std::vector<double> softmax(std::int64_t kv_head) const {
        const std::int64_t group = shape_.heads / shape_.kv_heads;
        const Vector query =
            rotated(projected(query_, kv_head * group * shape_.head_dim, query_token),
                    shape_.positions - 1);
        std::vector<Vector> keys;
        const auto vocabulary = static_cast<std::int32_t>(needles_.size()) + first_needle;
        for (std::int32_t token = 0; token < vocabulary; ++token) {
            keys.push_back(projected(key_value_, kv_head * shape_.head_dim, token));
        }
        std::vector<double> weights(tokens_.size());
        const double scale = 1.0 / std::sqrt(static_cast<double>(shape_.head_dim));
        for (std::size_t position = 0; position < tokens_.size(); ++position) {
            const Vector key = rotated(keys[static_cast<std::size_t>(tokens_[position])],
                                       static_cast<std::int64_t>(position));
            weights[position] = scale * dot(query, key);
        }
        const double largest = *std::ranges::max_element(weights);
        double sum = 0.0;
        for (double& weight : weights) sum += weight = std::exp(weight - largest);
        for (double& weight : weights) weight /= sum;
        return weights;
    }

    /// sum_k p_k v_k and sum_k p_k |v_k| by component.
    [[nodiscard]] std::pair<std::vector<double>, std::vector<double>> weighted_values(
        std::int64_t kv_head, const std::vector<double>& weights) const {
        std::vector<double> of_token(needles_.size() + first_needle, 0.0);
        for (std::size_t position = 0; position < weights.size(); ++position) {
            of_token[static_cast<std::size_t>(tokens_[position])] += weights[position];
        }
        std::vector<double> sum(static_cast<std::size_t>(shape_.head_dim), 0.0);
        std::vector<double> magnitude(sum);
        for (std::size_t token = 0; token < of_token.size(); ++token) {
            const Vector value =
                projected(key_value_, (shape_.kv_heads + kv_head) * shape_.head_dim,
                          static_cast<std::int32_t>(token));
            for (std::size_t c = 0; c < sum.size(); ++c) {
                sum[c] += of_token[token] * double{kept(value[c])};
                magnitude[c] += of_token[token] * std::abs(double{value[c]});
            }
        }
        return {sum, magnitude};
    }

    AttentionRow shape_;
    std::vector<double> factors_;
    RotaryTable rotary_;
    std::vector<std::int64_t> needles_;
    std::vector<std::int32_t> tokens_;
    Vector table_;      // [tokens, hidden]
    Vector query_;      // [heads * head_dim, hidden]
    Vector key_value_;  // [2 * kv_heads * head_dim, hidden], keys first
    Vector identity_;
    Vector ones_;
};

}  // namespace

AttentionRowResult check_attention_row(DeviceOps& ops, const AttentionRow& shape) {
    const Problem problem{shape};
    return problem.compare(problem.computed(ops));
}

}  // namespace longrope::tests
