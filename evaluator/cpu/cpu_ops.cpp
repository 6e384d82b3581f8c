// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/cpu_ops.hpp"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <numbers>
#include <vector>

#include "evaluator/cpu/aligned_bytes.hpp"
#include "evaluator/cpu/packed_layer.hpp"
#include "evaluator/cpu/prepared_values.hpp"
#include "evaluator/cpu/thread_pool.hpp"
#include "evaluator/rotary_table.hpp"

namespace longrope::evaluator::cpu {
namespace {

/// Columns of logits that exist at a time, for one tile of rows: they stay in the second-level
/// cache between the product and the log-sum-exp.
constexpr std::int64_t vocabulary_block = 512;

static_assert(rows_per_thread % tile_rows == 0 && rows_per_thread % attention_rows == 0);

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
}

std::int64_t count_rows(std::span<const TensorView> stacked) {
    std::int64_t rows = 0;
    for (const TensorView& part : stacked) rows += part.shape[0];
    return rows;
}

/// As many rows as `values` holds, from row `first` of all parts in sequence.
void widen_rows(std::span<const TensorView> stacked, std::int64_t first, std::span<float> values) {
    for (const TensorView& part : stacked) {
        const std::int64_t wanted = static_cast<std::int64_t>(values.size()) / part.shape[1];
        const std::int64_t count = std::clamp(part.shape[0] - first, std::int64_t{0}, wanted);
        if (count > 0) {
            const auto size = static_cast<std::size_t>(count * part.shape[1]);
            widen(part.rows(first, count), values.first(size));
            values = values.subspan(size);
        }
        first = std::max(first - part.shape[0], std::int64_t{0});
    }
}

std::vector<float> weights_of(const TensorView& tensor, Precision precision) {
    std::vector<float> values = widen(tensor);
    if (precision == Precision::bf16) round_to_bfloat16(values);
    return values;
}

float* float_row(const DeviceMatrix& matrix, std::int64_t row) {
    return reinterpret_cast<float*>(matrix.data) + row * matrix.stride;
}

std::byte* tile_of(const DeviceMatrix& matrix, std::int64_t tile) {
    assert(matrix.stride == matrix.columns);
    return matrix.data + tile * tile_rows * matrix.stride * matrix.element_bytes;
}

class CpuOps final : public DeviceOps {
public:
    explicit CpuOps(const CpuSettings& settings)
        : library_{settings.instruction_set, settings.precision, settings.threads},
          kernels_{kernels_of(settings.instruction_set, settings.precision)},
          precision_{settings.precision},
          chunk_rows_{settings.chunk_rows > 0 ? settings.chunk_rows
                                              : rows_per_thread * settings.threads},
          pool_{settings.threads},
          scratch_(settings.threads) {
        assert(chunk_rows_ % rows_per_thread == 0);
    }

    std::int64_t chunk_rows() const noexcept override { return chunk_rows_; }

    std::unique_ptr<Prepared> prepare_embedding(const TensorView& table) override {
        auto result = std::make_unique<CpuEmbedding>();
        result->table = table;
        return result;
    }

    std::unique_ptr<Prepared> prepare_matrix(std::span<const TensorView> stacked) override {
        return pack(stacked, count_rows(stacked));
    }

    std::unique_ptr<Prepared> prepare_head(const TensorView& weights) override {
        return pack({&weights, 1}, vocabulary_block);
    }

    std::unique_ptr<Prepared> prepare_vector(const TensorView& values) override {
        auto result = std::make_unique<CpuVector>();
        result->values = weights_of(values, precision_);
        return result;
    }

    std::unique_ptr<Prepared> prepare_tokens(std::span<const std::int32_t> tokens) override {
        auto result = std::make_unique<CpuTokens>();
        result->tokens.assign(tokens.begin(), tokens.end());
        return result;
    }

    std::unique_ptr<Prepared> prepare_rotary(const RotaryTable& table) override {
        auto result = std::make_unique<CpuRotary>();
        result->pairs = table.pairs();
        result->cosines = table.cosines();
        result->sines = table.sines();
        return result;
    }

    DeviceBuffer allocate(Storage storage, std::int64_t rows, std::int64_t columns) override {
        const bool half = storage == Storage::operand && precision_ == Precision::bf16;
        const std::int64_t element_bytes = half ? 2 : 4;
        // Whole tiles: the last one is multiplied with whatever its rows past the end hold.
        AlignedBytes memory{
            static_cast<std::size_t>(round_up(rows, tile_rows) * columns * element_bytes)};
        return {DeviceMatrix{memory.release(), rows, columns, columns, element_bytes},
                [](std::byte* data) { std::free(data); }};
    }

    void embed(const Prepared& embedding, const Prepared& tokens, std::int64_t first_position,
               const DeviceMatrix& out) override {
        const TensorView& table = static_cast<const CpuEmbedding&>(embedding).table;
        const std::int32_t* token =
            static_cast<const CpuTokens&>(tokens).tokens.data() + first_position;
        for (std::int64_t r = 0; r < out.rows; ++r) {
            std::vector<float> values = read_row(table, token[r]);
            if (precision_ == Precision::bf16) round_to_bfloat16(values);
            std::copy(values.begin(), values.end(), float_row(out, r));
        }
    }

    void rms_norm(const DeviceMatrix& in, const Prepared& weight, float epsilon,
                  const DeviceMatrix& out) override {
        const float* weights = static_cast<const CpuVector&>(weight).values.data();
        for_each_row(in.rows, [&](std::int64_t row, std::uint32_t thread) {
            write_operand(out, row, thread, [&](float* to) {
                kernels_.rms_norm(float_row(in, row), weights, in.columns, epsilon, to);
            });
        });
    }

    void rms_norm_heads(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& weight,
                        float epsilon) override {
        const float* weights = static_cast<const CpuVector&>(weight).values.data();
        for_each_row(heads.rows, [&](std::int64_t row, std::uint32_t) {
            float* const begin = float_row(heads, row);
            for (float* head = begin; head < begin + heads.columns; head += head_dim) {
                kernels_.rms_norm(head, weights, head_dim, epsilon, head);
            }
        });
    }

    void add_bias(const DeviceMatrix& rows, const Prepared& bias) override {
        const float* values = static_cast<const CpuVector&>(bias).values.data();
        for_each_row(rows.rows, [&](std::int64_t row, std::uint32_t) {
            kernels_.add(float_row(rows, row), values, rows.columns);
        });
    }

    void matmul(const DeviceMatrix& in, const Prepared& weights, const DeviceMatrix& out) override {
        const PackedMatrix& matrix = static_cast<const CpuMatrix&>(weights).blocks.front();
        for_each_tile(in.rows, [&](std::int64_t tile, std::uint32_t thread) {
            matrix.multiply(tile_of(in, tile), reinterpret_cast<float*>(tile_of(out, tile)),
                            thread);
        });
    }

    void matmul_add(const DeviceMatrix& in, const Prepared& weights,
                    const DeviceMatrix& sum) override {
        const PackedMatrix& matrix = static_cast<const CpuMatrix&>(weights).blocks.front();
        for_each_tile(in.rows, [&](std::int64_t tile, std::uint32_t thread) {
            matrix.multiply_add(tile_of(in, tile), reinterpret_cast<float*>(tile_of(sum, tile)),
                                thread);
        });
    }

    void rotate(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& rotary,
                std::int64_t first_position) override {
        const auto& table = static_cast<const CpuRotary&>(rotary);
        for_each_row(heads.rows, [&](std::int64_t row, std::uint32_t) {
            const auto at = static_cast<std::size_t>((first_position + row) * table.pairs);
            kernels_.rotate(float_row(heads, row), heads.columns / head_dim, head_dim,
                            table.cosines.data() + at, table.sines.data() + at, table.pairs);
        });
    }

    void begin_layer_kv(const AttentionShape& shape, std::int64_t positions) override {
        layer_.reset(shape, positions, kernels_);
    }

    void append_kv(const DeviceMatrix& keys, const DeviceMatrix& values,
                   std::int64_t first_position) override {
        const std::int64_t head_dim = layer_.shape().head_dim;
        const std::int64_t tiles = round_up(keys.rows, tile_rows) / tile_rows;
        pool_.run(tiles * layer_.shape().kv_heads, [&](std::int64_t item, std::uint32_t) {
            const std::int64_t head = item / tiles;
            const std::int64_t first = item % tiles * tile_rows;
            kernels_.pack(float_row(keys, first) + head * head_dim,
                          float_row(values, first) + head * head_dim, keys.stride,
                          std::min(tile_rows, keys.rows - first), first_position + first, head_dim,
                          layer_.head(head));
        });
    }

    void attend(const DeviceMatrix& queries, std::int64_t first_position,
                const DeviceMatrix& out) override {
        const AttentionShape& shape = layer_.shape();
        const std::int64_t group = shape.heads / shape.kv_heads;
        const std::int64_t width = group * shape.head_dim;
        const std::int64_t kernel_floats = kernels_.attention_scratch_floats(group, shape.head_dim);
        const std::int64_t blocks = round_up(queries.rows, attention_rows) / attention_rows;
        const double scale = std::numbers::log2e / std::sqrt(static_cast<double>(shape.head_dim));
        pool_.run(blocks * shape.kv_heads, [&](std::int64_t item, std::uint32_t thread) {
            const std::int64_t head = item % shape.kv_heads;
            const std::int64_t first = item / shape.kv_heads * attention_rows;
            AttentionTask task{.queries = float_row(queries, first) + head * width,
                               .query_stride = queries.stride,
                               .rows = std::min(attention_rows, queries.rows - first),
                               .group = group,
                               .head_dim = shape.head_dim,
                               .first_position = first_position + first,
                               .score_scale = static_cast<float>(scale),
                               .head = layer_.head(head)};
            if (out.element_bytes == sizeof(float)) {
                task.scratch = scratch_of(thread, kernel_floats);
                task.out = float_row(out, first) + head * width;
                task.out_stride = out.stride;
                kernels_.attend(task);
                return;
            }
            task.scratch = scratch_of(thread, kernel_floats + attention_rows * width);
            task.out = task.scratch + kernel_floats;
            task.out_stride = width;
            kernels_.attend(task);
            for (std::int64_t row = 0; row < task.rows; ++row) {
                kernels_.to_bfloat16(task.out + row * width, width,
                                     bfloat16_row(out, first + row) + head * width);
            }
        });
    }

    void swiglu(const DeviceMatrix& gate_up, const DeviceMatrix& out) override {
        for_each_row(out.rows, [&](std::int64_t row, std::uint32_t thread) {
            const float* gate = float_row(gate_up, row);
            write_operand(out, row, thread, [&](float* to) {
                kernels_.swiglu(gate, gate + out.columns, out.columns, to);
            });
        });
    }

    void nll(const DeviceMatrix& in, const Prepared& head, const Prepared& tokens,
             std::int64_t first_position, const DeviceMatrix& out) override {
        const auto& matrix = static_cast<const CpuMatrix&>(head);
        const std::int32_t* targets =
            static_cast<const CpuTokens&>(tokens).tokens.data() + first_position + 1;
        for_each_tile(in.rows, [&](std::int64_t tile, std::uint32_t thread) {
            const std::int64_t first = tile * tile_rows;
            const std::int64_t rows = std::min(tile_rows, in.rows - first);
            nll_of_tile(tile_of(in, tile), matrix,
                        {targets + first, static_cast<std::size_t>(rows)}, thread,
                        float_row(out, first));
        });
    }

    void download(const DeviceMatrix& from, std::span<float> values) override {
        assert(from.stride == from.columns);
        std::copy_n(float_row(from, 0), values.size(), values.data());
    }

private:
    static std::uint16_t* bfloat16_row(const DeviceMatrix& matrix, std::int64_t row) {
        return reinterpret_cast<std::uint16_t*>(matrix.data) + row * matrix.stride;
    }

    /// The rows of all parts in sequence, in blocks of `block_rows` outputs, packed by all threads.
    std::unique_ptr<Prepared> pack(std::span<const TensorView> stacked, std::int64_t block_rows) {
        const std::int64_t outputs = count_rows(stacked);
        const std::int64_t inputs = stacked.front().shape[1];
        auto result = std::make_unique<CpuMatrix>();
        for (std::int64_t first = 0; first < outputs; first += block_rows) {
            result->blocks.emplace_back(library_, std::min(block_rows, outputs - first), inputs);
        }
        struct Slice {
            std::int64_t block;
            std::int64_t first;  // row of the block
        };
        std::vector<Slice> slices;
        for (std::int64_t i = 0; i < std::ssize(result->blocks); ++i) {
            const PackedMatrix& block = result->blocks[static_cast<std::size_t>(i)];
            for (std::int64_t first = 0; first < block.outputs(); first += block.packing_rows()) {
                slices.push_back({i, first});
            }
        }
        pool_.run(std::ssize(slices), [&](std::int64_t item, std::uint32_t thread) {
            const Slice& slice = slices[static_cast<std::size_t>(item)];
            PackedMatrix& block = result->blocks[static_cast<std::size_t>(slice.block)];
            const std::int64_t count =
                std::min(block.packing_rows(), block.outputs() - slice.first);
            const std::span<float> rows{scratch_of(thread, count * inputs),
                                        static_cast<std::size_t>(count * inputs)};
            widen_rows(stacked, slice.block * block_rows + slice.first, rows);
            if (precision_ == Precision::bf16) round_to_bfloat16(rows);
            block.pack(slice.first, rows, thread);
        });
        return result;
    }

    /// Working memory of one thread, 64-aligned; what an earlier call left there is lost.
    float* scratch_of(std::uint32_t thread, std::int64_t floats) {
        AlignedBytes& scratch = scratch_[thread];
        const auto bytes = static_cast<std::size_t>(floats) * sizeof(float);
        if (scratch.size() < bytes) scratch = AlignedBytes{bytes};
        return scratch.floats();
    }

    template <class Work>
    void for_each_tile(std::int64_t rows, const Work& work) {
        pool_.run(round_up(rows, tile_rows) / tile_rows, work);
    }

    template <class Work>
    void for_each_row(std::int64_t rows, const Work& work) {
        for_each_tile(rows, [&](std::int64_t tile, std::uint32_t thread) {
            const std::int64_t end = std::min(rows, (tile + 1) * tile_rows);
            for (std::int64_t row = tile * tile_rows; row < end; ++row) work(row, thread);
        });
    }

    /// Lets `write` fill one row of float32 and rounds it if the operand is bfloat16.
    template <class Write>
    void write_operand(const DeviceMatrix& out, std::int64_t row, std::uint32_t thread,
                       const Write& write) {
        if (out.element_bytes == sizeof(float)) return write(float_row(out, row));
        float* values = scratch_of(thread, out.columns);
        write(values);
        kernels_.to_bfloat16(values, out.columns, bfloat16_row(out, row));
    }

    void nll_of_tile(const std::byte* in, const CpuMatrix& head,
                     std::span<const std::int32_t> targets, std::uint32_t thread, float* losses) {
        float* logits = scratch_of(thread, tile_rows * vocabulary_block);
        std::vector<LogSumExp> running(targets.size(),
                                       {-std::numeric_limits<float>::infinity(), 0.0F});
        std::vector<float> target_logits(targets.size());
        std::int64_t first_token = 0;
        for (const PackedMatrix& block : head.blocks) {
            block.multiply(in, logits, thread);
            for (std::size_t r = 0; r < targets.size(); ++r) {
                const float* row = logits + static_cast<std::int64_t>(r) * block.outputs();
                running[r] = kernels_.add_logits(row, block.outputs(), running[r]);
                const std::int64_t target = targets[r] - first_token;
                if (target >= 0 && target < block.outputs()) target_logits[r] = row[target];
            }
            first_token += block.outputs();
        }
        for (std::size_t r = 0; r < targets.size(); ++r) {
            // Both terms are small; max - target first would cancel digits of the logits.
            const double above = double{running[r].max} - double{target_logits[r]};
            losses[r] = static_cast<float>(std::log(double{running[r].sum}) + above);
        }
    }

    MatrixLibrary library_;  // first: it refuses a precision that this CPU has no kernels for
    const KernelSet& kernels_;
    Precision precision_;
    std::int64_t chunk_rows_;
    ThreadPool pool_;
    std::vector<AlignedBytes> scratch_;
    PackedLayer layer_;
};

}  // namespace

std::uint64_t scratch_bytes(std::int64_t group, std::int64_t head_dim,
                            std::int64_t inputs) noexcept {
    // Bfloat16 results wait behind the attention's own.
    const std::int64_t attention =
        kernels_of(detect_instruction_set()).attention_scratch_floats(group, head_dim) +
        attention_rows * group * head_dim;
    const std::int64_t floats =
        std::max({attention, tile_rows * vocabulary_block, most_packing_rows * inputs});
    return static_cast<std::uint64_t>(floats) * sizeof(float);
}

std::uint64_t packed_layer_bytes(const AttentionShape& shape, std::int64_t positions,
                                 Precision precision) noexcept {
    // Only one instruction set computes in bfloat16, wherever the estimate is made.
    const InstructionSet set =
        precision == Precision::bf16 ? InstructionSet::avx512 : detect_instruction_set();
    return static_cast<std::uint64_t>(
        PackedLayer::bytes(shape, positions, kernels_of(set, precision)));
}

std::unique_ptr<DeviceOps> make_cpu_ops(const CpuSettings& settings) {
    return std::make_unique<CpuOps>(settings);
}

}  // namespace longrope::evaluator::cpu
