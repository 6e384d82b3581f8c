// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cost_estimate.hpp"

#include <algorithm>

#include "evaluator/cpu/cpu_ops.hpp"

namespace longrope::evaluator {

CostEstimate estimate_cost(const ModelConfig& config, std::uint64_t positions, Precision precision,
                           std::uint32_t threads) {
    const std::uint64_t hidden = config.hidden_size;
    const std::uint64_t inner = config.intermediate_size;
    const std::uint64_t query_size = std::uint64_t{config.heads} * config.head_dim;
    const std::uint64_t kv_size = std::uint64_t{config.kv_heads} * config.head_dim;
    const std::uint64_t layer_weights =
        hidden * (2 * query_size + 2 * kv_size) + 3 * hidden * inner;
    const std::uint64_t layer_vectors =
        2 * hidden + (config.query_key_value_bias ? query_size + 2 * kv_size : 0) +
        (config.output_bias ? hidden : 0) + (config.head_norms ? 2 * config.head_dim : 0);
    const auto n = static_cast<double>(positions);

    CostEstimate cost;
    cost.linear_flop = 2.0 * n * static_cast<double>(layer_weights) * config.layers;
    // Position p reads p + 1 keys; a key costs a product and a sum per component, twice.
    cost.attention_flop = 2.0 * n * (n + 1.0) * static_cast<double>(query_size) * config.layers;
    cost.vocabulary_flop =
        2.0 * std::max(n - 1.0, 0.0) * static_cast<double>(hidden) * config.vocabulary;

    const std::uint64_t weight_size = precision == Precision::bf16 ? 2 : 4;
    const std::uint64_t chunk = std::min<std::uint64_t>(
        positions, static_cast<std::uint64_t>(cpu::rows_per_thread) * threads);
    // The embedding stays in the mapped file; a tied one is packed once more for the projection.
    cost.weight_bytes = weight_size * (layer_weights * config.layers + hidden * config.vocabulary) +
                        sizeof(float) * (hidden + config.layers * layer_vectors);
    cost.document_bytes =
        positions * (sizeof(float) * (hidden + config.rotary_dim + 3) + weight_size * 2 * kv_size);
    const std::uint64_t products = query_size + 2 * kv_size + 2 * inner;
    const std::uint64_t operands = hidden + query_size + inner;
    cost.work_bytes = chunk * (sizeof(float) * products + weight_size * operands) +
                      threads * cpu::scratch_bytes(config.heads / config.kv_heads, config.head_dim);
    cost.peak_bytes = program_bytes + cost.weight_bytes + cost.document_bytes + cost.work_bytes;
    return cost;
}

}  // namespace longrope::evaluator
