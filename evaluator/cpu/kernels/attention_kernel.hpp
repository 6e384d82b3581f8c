// SPDX-License-Identifier: Apache-2.0
// Causal attention of up to 96 consecutive positions, all query heads of one key/value head.
//
//   queries [rows, group * head_dim]   keys, values: PackedHead   out [rows, group * head_dim]
//
// Operands of the two products are float32, or bfloat16 in pairs that one instruction multiplies
// and adds: two components of a query and a key, two keys' weights and values. Everything else
// (scores, maxima, exponentials, sums, accumulators) is float32.
//
// Keys are taken in blocks; a block stays in the near caches while every head of the group and
// every row group passes over it. For a row group of R queries (rows of registers) and a block:
//   scores [R, block] = Q Kᵀ       register tile R x key panel, the panel's components in sequence
//   running maximum, exp2, sum     log2(e) / sqrt(head_dim) is folded into the packed queries
//   out [R, panel] += P V          register tile R x value panel, the keys in sequence
// Scores never leave the first-level cache. Blocks after the causal limit are skipped, and the sums
// run over the keys up to the last row's limit only. A row's arithmetic does not depend on its
// place in a row group or task: keys come in the same blocks and order from position 0.
#pragma once

#include "evaluator/cpu/kernels/kernel_set.hpp"
#include "evaluator/cpu/kernels/vector_math.hpp"

namespace longrope::evaluator::cpu {

/// Operands of the products in float32. Others have the same members: an Element as it is packed,
/// an Operand (a vector of width * depth of them), and multiply_add, which sums over the depth.
template <class Isa>
struct FloatOperands {
    using Floats = typename Isa::Floats;
    using Element = float;
    using Operand = Floats;
    static constexpr int depth = 1;  ///< elements that meet in one lane

    [[gnu::always_inline]] static Element element(float value) { return value; }
    /// The same `depth` elements in every lane.
    [[gnu::always_inline]] static Operand broadcast(const Element* from) {
        return cpu::broadcast<Isa>(*from);
    }
    [[gnu::always_inline]] static Floats multiply_add(Operand a, Operand b, Floats c) {
        return Isa::fma(a, b, c);
    }
    /// Stores 2 * width floats as elements.
    [[gnu::always_inline]] static void store(Element* to, Floats first, Floats second) {
        cpu::store<Isa>(to, first);
        cpu::store<Isa>(to + Isa::width, second);
    }
};

/// Attention on one instruction set. Isa adds to the vector primitives: query_rows (R, a divisor of
/// attention_rows), key_vectors and value_vectors (vectors per panel).
template <class Isa, class Operands>
class AttentionKernel {
    using Floats = typename Isa::Floats;
    using Element = typename Operands::Element;
    using Operand = typename Operands::Operand;
    static constexpr std::int64_t depth = Operands::depth;
    template <int Rows, int Vectors>
    using Tile = Floats[static_cast<std::size_t>(Rows)][static_cast<std::size_t>(Vectors)];
    template <class Element, int Count>
    using Array = Element[static_cast<std::size_t>(Count)];
    static constexpr std::int64_t width = Isa::width;
    static constexpr int tile_rows = Isa::query_rows;
    static constexpr std::int64_t row_groups = attention_rows / tile_rows;

public:
    static constexpr std::int64_t key_panel = Isa::key_vectors * width;
    static constexpr std::int64_t value_panel = Isa::value_vectors * width;
    static constexpr std::int64_t key_block = 256 / key_panel * key_panel;
    static_assert(key_panel % depth == 0 && key_block % depth == 0);

    static std::int64_t scratch_floats(std::int64_t group, std::int64_t head_dim) {
        return scores_floats + group * row_groups * group_floats(head_dim);
    }

    static void attend(const AttentionTask& task) {
        const AttentionKernel kernel{task};
        kernel.start();
        const std::int64_t keys = task.first_position + task.rows;
        for (std::int64_t block = 0; block < keys; block += key_block) {
            for (std::int64_t head = 0; head < task.group; ++head) {
                for (std::int64_t first = 0; first < task.rows; first += tile_rows) {
                    kernel.add_block(head, first, block);
                }
            }
        }
        kernel.finish();
    }

    static void pack(const float* keys, const float* values, std::int64_t stride, std::int64_t rows,
                     std::int64_t position, std::int64_t head_dim, const PackedHead& head) {
        for (std::int64_t r = 0; r < rows; ++r, keys += stride, values += stride) {
            const std::int64_t at = position + r;
            Element* key = static_cast<Element*>(head.keys) +
                           at / key_panel * key_panel * head_dim + at % key_panel * depth;
            for (std::int64_t i = 0; i < head_dim; i += depth) {
                for (std::int64_t d = 0; d < depth; ++d) {
                    key[i * key_panel + d] = Operands::element(keys[i + d]);
                }
            }
            for (std::int64_t i = 0; i < head_dim; i += value_panel) {
                const std::int64_t rest = head_dim - i;
                const std::int64_t count = rest < value_panel ? rest : value_panel;
                Element* to = value_of(head, at, i);
                for (std::int64_t k = 0; k < count; ++k) {
                    to[k * depth] = Operands::element(values[i + k]);
                }
            }
        }
        // The partner of a last key: it is masked, but an earlier document may have left a NaN.
        for (std::int64_t at = position + rows; at % depth != 0; ++at) {
            for (std::int64_t i = 0; i < head_dim; i += value_panel) {
                Element* to = value_of(head, at, i);
                for (std::int64_t k = 0; k < value_panel; ++k) to[k * depth] = Element{};
            }
        }
    }

private:
    /// Where the components of a value from `component` on lie, `depth` apart.
    static Element* value_of(const PackedHead& head, std::int64_t position,
                             std::int64_t component) {
        return static_cast<Element*>(head.values) +
               component / value_panel * head.value_panel_stride +
               position / depth * depth * value_panel + position % depth;
    }

    // Rows of scores start on different cache sets.
    static constexpr std::int64_t score_stride = key_block + 16;
    static constexpr std::int64_t scores_floats = tile_rows * score_stride;

    static constexpr std::int64_t padded(std::int64_t head_dim) {
        return (head_dim + value_panel - 1) / value_panel * value_panel;
    }
    /// Of one row group: sums [R, width], maxima [R, width], accumulators [panels, R, value_panel],
    /// queries [head_dim / depth, R, depth].
    static constexpr std::int64_t group_floats(std::int64_t head_dim) {
        const std::int64_t floats = tile_rows * (2 * width + padded(head_dim) + head_dim);
        return (floats + 15) / 16 * 16;
    }

    struct RowGroup {
        float* sums;
        float* maxima;  // the same in every lane
        float* accumulators;
        Element* queries;
    };

    explicit AttentionKernel(const AttentionTask& task) : task_{task} {}

    [[nodiscard]] RowGroup row_group(std::int64_t head, std::int64_t first) const {
        float* base = task_.scratch + scores_floats +
                      (head * row_groups + first / tile_rows) * group_floats(task_.head_dim);
        float* maxima = base + tile_rows * width;
        float* accumulators = maxima + tile_rows * width;
        float* queries = accumulators + tile_rows * padded(task_.head_dim);
        return {base, maxima, accumulators, reinterpret_cast<Element*>(queries)};
    }

    void start() const {
        for (std::int64_t head = 0; head < task_.group; ++head) {
            for (std::int64_t first = 0; first < task_.rows; first += tile_rows) {
                const RowGroup state = row_group(head, first);
                for (std::int64_t i = 0; i < tile_rows * width; ++i) {
                    state.sums[i] = 0.0F;
                    state.maxima[i] = -__builtin_inff();
                }
                for (std::int64_t i = 0; i < tile_rows * padded(task_.head_dim); ++i) {
                    state.accumulators[i] = 0.0F;
                }
                for (std::int64_t r = 0; r < tile_rows; ++r) {
                    // Rows past the end repeat the last one; their results are dropped.
                    const std::int64_t last = task_.rows - 1;
                    const std::int64_t from = first + r < last ? first + r : last;
                    const float* query =
                        task_.queries + from * task_.query_stride + head * task_.head_dim;
                    for (std::int64_t i = 0; i < task_.head_dim; ++i) {
                        state.queries[(i / depth * tile_rows + r) * depth + i % depth] =
                            Operands::element(query[i] * task_.score_scale);
                    }
                }
            }
        }
    }

    void add_block(std::int64_t head, std::int64_t first, std::int64_t block) const {
        const std::int64_t last_row =
            (first + tile_rows < task_.rows ? first + tile_rows : task_.rows) - 1;
        const std::int64_t visible = task_.first_position + last_row + 1 - block;
        if (visible <= 0) return;
        const std::int64_t key_count = visible < key_block ? visible : key_block;
        const std::int64_t panels = (key_count + key_panel - 1) / key_panel;
        const RowGroup state = row_group(head, first);
        float* scores = task_.scratch;

        for (std::int64_t panel = 0; panel < panels; ++panel) {
            const std::int64_t at = block + panel * key_panel;
            score_panel(state.queries,
                        static_cast<const Element*>(task_.head.keys) + at * task_.head_dim,
                        scores + panel * key_panel);
        }
        mask(task_.first_position + first - block, panels * key_panel, scores);
        Array<Floats, tile_rows> shrink;
        exponentiate(scores, panels * key_panel, state, shrink);
        const std::int64_t value_panels = padded(task_.head_dim) / value_panel;
        for (std::int64_t panel = 0; panel < value_panels; ++panel) {
            mix_panel(scores, shrink,
                      static_cast<const Element*>(task_.head.values) +
                          panel * task_.head.value_panel_stride + block * value_panel,
                      key_count, state.accumulators + panel * tile_rows * value_panel);
        }
    }

    /// scores[r, 0..key_panel) = queries[., r] . keys[., 0..key_panel)
    void score_panel(const Element* queries, const Element* keys, float* scores) const {
        constexpr int vectors = Isa::key_vectors;
        Tile<tile_rows, vectors> sums = {};
        for (std::int64_t i = 0; i < task_.head_dim; i += depth) {
            Array<Operand, vectors> key;
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) key[v] = load_operand(keys + v * width * depth);
#pragma GCC unroll 16
            for (int r = 0; r < tile_rows; ++r) {
                const Operand query = Operands::broadcast(queries + r * depth);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) {
                    sums[r][v] = Operands::multiply_add(query, key[v], sums[r][v]);
                }
            }
            keys += key_panel * depth;
            queries += tile_rows * depth;
        }
#pragma GCC unroll 16
        for (int r = 0; r < tile_rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                store<Isa>(scores + r * score_stride + v * width, sums[r][v]);
            }
        }
    }

    [[gnu::always_inline]] static Operand load_operand(const Element* from) {
        Operand result;
        __builtin_memcpy(&result, from, sizeof result);
        return result;
    }

    /// -infinity where a row does not see a key. @param offset  first row's position - first key's
    static void mask(std::int64_t offset, std::int64_t key_count, float* scores) {
        if (offset + 1 >= key_count) return;
        for (int r = 0; r < tile_rows; ++r) {
            const std::int64_t sees = offset + r + 1;
            for (std::int64_t k = sees > 0 ? sees : 0; k < key_count; ++k) {
                scores[r * score_stride + k] = -__builtin_inff();
            }
        }
    }

    /// scores = 2^(scores - new maximum), added to the lanes of the sums, then stored as elements
    /// from the beginning of their row.
    /// shrink[r]: what earlier sums and accumulators of a row must be multiplied by.
    /// All maxima first: the steps of one row's reduction wait for each other, those of twelve rows
    /// overlap.
    [[gnu::always_inline]] static void exponentiate(float* scores, std::int64_t key_count,
                                                    const RowGroup& state,
                                                    Array<Floats, tile_rows>& shrink) {
        for (int r = 0; r < tile_rows; ++r) {
            const float* row = scores + r * score_stride;
            Floats top = load<Isa>(row);
            Floats other = load<Isa>(row + width);
#pragma GCC unroll 4
            for (std::int64_t k = 2 * width; k < key_count; k += 2 * width) {
                top = Isa::max(top, load<Isa>(row + k));
                other = Isa::max(other, load<Isa>(row + k + width));
            }
            const Floats before = load<Isa>(state.maxima + r * width);
            const Floats after = Isa::max(before, max_of_lanes<Isa>(Isa::max(top, other)));
            store<Isa>(state.maxima + r * width, after);
            shrink[r] = exp2<Isa>(before - after);
        }
        for (int r = 0; r < tile_rows; ++r) {
            float* row = scores + r * score_stride;
            const Floats top = load<Isa>(state.maxima + r * width);
            Floats sum{};
            Floats other{};
#pragma GCC unroll 2
            for (std::int64_t k = 0; k < key_count; k += 2 * width) {
                const Floats weight = exp2<Isa>(load<Isa>(row + k) - top);
                const Floats next = exp2<Isa>(load<Isa>(row + k + width) - top);
                Operands::store(reinterpret_cast<Element*>(row) + k, weight, next);
                sum += weight;
                other += next;
            }
            const Floats earlier = load<Isa>(state.sums + r * width);
            store<Isa>(state.sums + r * width, Isa::fma(earlier, shrink[r], sum + other));
        }
    }

    /// sums[r, .] = sums[r, .] * shrink[r] + Σ_k weights[r, k] values[k, .]. A block is summed by
    /// itself first: added one by one to a sum over millions of keys, its terms would lose their
    /// last digits.
    static void mix_panel(const float* weights, const Array<Floats, tile_rows>& shrink,
                          const Element* values, std::int64_t key_count, float* sums) {
        constexpr int vectors = Isa::value_vectors;
        Tile<tile_rows, vectors> mixed = {};
        // A last key without its partner meets a weight of 0: it is masked, its values are 0.
        for (std::int64_t k = 0; k < key_count; k += depth) {
            Array<Operand, vectors> value;
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) value[v] = load_operand(values + v * width * depth);
#pragma GCC unroll 16
            for (int r = 0; r < tile_rows; ++r) {
                const float* row = weights + r * score_stride;
                const Operand weight =
                    Operands::broadcast(reinterpret_cast<const Element*>(row) + k);
#pragma GCC unroll 8
                for (int v = 0; v < vectors; ++v) {
                    mixed[r][v] = Operands::multiply_add(weight, value[v], mixed[r][v]);
                }
            }
            values += value_panel * depth;
        }
#pragma GCC unroll 16
        for (int r = 0; r < tile_rows; ++r) {
#pragma GCC unroll 8
            for (int v = 0; v < vectors; ++v) {
                float* sum = sums + r * value_panel + v * width;
                store<Isa>(sum, Isa::fma(load<Isa>(sum), shrink[r], mixed[r][v]));
            }
        }
    }

    void finish() const {
        for (std::int64_t head = 0; head < task_.group; ++head) {
            for (std::int64_t row = 0; row < task_.rows; ++row) {
                const RowGroup state = row_group(head, row / tile_rows * tile_rows);
                const std::int64_t r = row % tile_rows;
                const float scale = 1.0F / sum_lanes<Isa>(load<Isa>(state.sums + r * width));
                float* out = task_.out + row * task_.out_stride + head * task_.head_dim;
                const float* from = state.accumulators + r * value_panel;
                for (std::int64_t i = 0; i < task_.head_dim; i += value_panel) {
                    const std::int64_t rest = task_.head_dim - i;
                    const std::int64_t count = rest < value_panel ? rest : value_panel;
                    for (std::int64_t k = 0; k < count; ++k) out[i + k] = scale * from[k];
                    from += tile_rows * value_panel;
                }
            }
        }
    }

    const AttentionTask& task_;
};

}  // namespace longrope::evaluator::cpu
