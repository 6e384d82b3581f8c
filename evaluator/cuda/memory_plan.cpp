// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/memory_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <initializer_list>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cuda {
namespace {

constexpr std::uint64_t bf16_bytes = 2;
constexpr std::uint64_t f32_bytes = 4;

/// CUDA's context, the kernels of cublasLt and cuDNN with their workspaces, and what the driver's
/// pages of 2 MiB round up. An allowance, not a measurement: to be compared on a GPU.
constexpr std::uint64_t reserved = std::uint64_t{2} << 30U;

std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
    return (value + step - 1) / step * step;
}

/// What an allocation of that many bytes takes: the runtime aligns to 256.
std::uint64_t block(std::uint64_t bytes) {
    return round_up(bytes, 256);
}

/// A model's sizes, wide enough to multiply.
struct Sizes {
    explicit Sizes(const ModelConfig& config)
        : hidden{config.hidden_size},
          query{std::uint64_t{config.heads} * config.head_dim},
          key{std::uint64_t{config.kv_heads} * config.head_dim},
          inner{config.intermediate_size},
          vocabulary{config.vocabulary} {}

    std::uint64_t hidden;
    std::uint64_t query;
    std::uint64_t key;
    std::uint64_t inner;
    std::uint64_t vocabulary;
};

std::uint64_t bytes_of_a_layers_matrices(const Sizes& size) {
    std::uint64_t total = 0;
    for (const std::uint64_t elements :
         {size.query * size.hidden, 2 * size.key * size.hidden, size.hidden * size.query,
          2 * size.inner * size.hidden, size.hidden * size.inner}) {
        total += block(bf16_bytes * elements);
    }
    return total;
}

std::uint64_t bytes_of_vectors(const ModelConfig& config, const Sizes& size) {
    std::uint64_t layer = 2 * block(f32_bytes * size.hidden);
    if (config.query_key_value_bias) {
        layer += block(f32_bytes * size.query) + 2 * block(f32_bytes * size.key);
    }
    if (config.output_bias) layer += block(f32_bytes * size.hidden);
    if (config.head_norms) layer += 2 * block(f32_bytes * config.head_dim);
    return config.layers * layer + block(f32_bytes * size.hidden);
}

/// The largest group of KV heads, at most `wanted`, whose keys stay below 2^31 elements and which
/// divides the heads: all groups are one shape of attention.
std::int64_t heads_of_a_group(const ModelConfig& config, std::uint64_t padded_positions,
                              std::int64_t wanted) {
    constexpr std::uint64_t limit = (std::uint64_t{1} << 31U) - 1;
    const auto held = static_cast<std::int64_t>(limit / (padded_positions * config.head_dim));
    std::int64_t group = std::min({wanted, std::int64_t{config.kv_heads}, held});
    while (group > 1 && config.kv_heads % group != 0) --group;
    return std::max<std::int64_t>(group, 1);
}

}  // namespace

std::string TilePlan::text() const {
    return fmt::format("chunk={},attention={}x{},group={},logits={}x{}", chunk_rows, attention_rows,
                       segment_keys, kv_heads_per_group, loss_rows, vocabulary_tile);
}

MemoryPlan plan_memory(const ModelConfig& config, std::uint64_t positions,
                       const DeviceMemory& memory, const TilePlan& tiles) {
    const Sizes size{config};
    const auto rows_of = [positions](std::int64_t rows) {
        return std::min<std::uint64_t>(positions, static_cast<std::uint64_t>(rows));
    };
    const std::uint64_t padded = round_up(positions, attention_padding);
    const std::uint64_t chunk = rows_of(tiles.chunk_rows);
    const std::uint64_t attention_rows =
        round_up(rows_of(tiles.attention_rows), static_cast<std::uint64_t>(attention_padding));

    MemoryPlan plan;
    plan.positions = positions;
    plan.tiles = tiles;
    plan.had_bytes = memory.total;
    plan.reserved_bytes = reserved;
    plan.layer_bytes = bytes_of_a_layers_matrices(size);
    plan.kv_heads_per_group = heads_of_a_group(config, padded, tiles.kv_heads_per_group);

    plan.table_bytes =
        block(bf16_bytes * size.vocabulary * size.hidden) * (config.tied_embeddings ? 1 : 2);
    plan.vector_bytes = bytes_of_vectors(config, size);
    plan.hidden_bytes = block(f32_bytes * positions * size.hidden) +
                        2 * block(f32_bytes * positions);  // losses; tokens are int32
    plan.rotary_bytes = 2 * block(f32_bytes * positions * config.rotary_pairs());

    const auto group = static_cast<std::uint64_t>(plan.kv_heads_per_group);
    plan.key_value_bytes =
        config.kv_heads / group * 2 * block(bf16_bytes * group * padded * config.head_dim);
    for (const std::uint64_t columns : {size.hidden, size.query, size.inner}) {
        plan.chunk_bytes += block(bf16_bytes * chunk * columns);
    }
    for (const std::uint64_t columns : {2 * size.key, size.query, 2 * size.inner}) {
        plan.chunk_bytes += block(f32_bytes * chunk * columns);
    }
    // A group's output of one segment in bfloat16 and of all so far in float32; log-sum-exp of the
    // segment, and of all before and after it.
    const std::uint64_t group_heads = group * (config.heads / config.kv_heads);
    plan.attention_bytes = block(bf16_bytes * attention_rows * size.query) +
                           block(bf16_bytes * attention_rows * group_heads * config.head_dim) +
                           block(f32_bytes * attention_rows * group_heads * config.head_dim) +
                           3 * block(f32_bytes * attention_rows * group_heads);
    const std::uint64_t tile =
        std::min<std::uint64_t>(size.vocabulary, static_cast<std::uint64_t>(tiles.vocabulary_tile));
    plan.logits_bytes = block(f32_bytes * rows_of(tiles.loss_rows) * tile) +
                        block(3 * f32_bytes * rows_of(tiles.loss_rows));

    plan.placement = WeightPlacement::resident;
    plan.matrix_bytes = config.layers * plan.layer_bytes;
    if (!plan.fits() && config.layers > 2) {
        plan.placement = WeightPlacement::streamed;
        plan.pinned_host_bytes = plan.matrix_bytes;
        plan.matrix_bytes = 2 * plan.layer_bytes;
    }
    return plan;
}

void require_served_heads(const ModelConfig& config) {
    if (config.head_dim % 8 == 0 && config.head_dim <= 256) return;
    throw EvaluatorError{
        fmt::format("head_dim = {}: attention on GPUs serves heads of up to 256 components, a "
                    "multiple of 8; evaluator.backend = \"cpu\" serves this model",
                    config.head_dim)};
}

void require_fit(const MemoryPlan& plan) {
    if (plan.fits()) return;
    const auto gigabytes = [](std::uint64_t bytes) { return static_cast<double>(bytes) * 1e-9; };
    throw EvaluatorError{fmt::format(
        "a document of {} positions needs {} bytes ({:.2f} GB) of device memory and the device has "
        "{} ({:.2f} GB): matrices {:.2f} GB{}, embedding and head {:.2f}, hidden states {:.2f}, "
        "keys and values of a layer {:.2f}, rotary table {:.2f}, work {:.2f}, CUDA itself {:.2f}. "
        "Use shorter documents or a device with more memory",
        plan.positions, plan.device_bytes(), gigabytes(plan.device_bytes()), plan.had_bytes,
        gigabytes(plan.had_bytes), gigabytes(plan.matrix_bytes),
        plan.placement == WeightPlacement::streamed ? " (two layers at a time)" : "",
        gigabytes(plan.table_bytes + plan.vector_bytes), gigabytes(plan.hidden_bytes),
        gigabytes(plan.key_value_bytes), gigabytes(plan.rotary_bytes),
        gigabytes(plan.chunk_bytes + plan.attention_bytes + plan.logits_bytes),
        gigabytes(plan.reserved_bytes))};
}

}  // namespace longrope::evaluator::cuda
