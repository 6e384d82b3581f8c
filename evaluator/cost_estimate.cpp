// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cost_estimate.hpp"

#include <algorithm>

#include "evaluator/cpu/cpu_ops.hpp"

namespace longrope::evaluator {

namespace {

/// Elements of the parts that weigh: what a layer's matrices and vectors have, and its widths.
struct LayerSizes {
    std::uint64_t query = 0;      ///< heads * head_dim
    std::uint64_t key_value = 0;  ///< kv_heads * head_dim, of keys and of values each
    std::uint64_t matrices = 0;
    std::uint64_t largest_matrix = 0;
    std::uint64_t vectors = 0;  ///< norms and biases
};

LayerSizes layer_sizes(const ModelConfig& config) {
    const std::uint64_t hidden = config.hidden_size;
    LayerSizes sizes;
    sizes.query = std::uint64_t{config.heads} * config.head_dim;
    sizes.key_value = std::uint64_t{config.kv_heads} * config.head_dim;
    sizes.matrices =
        hidden * (2 * sizes.query + 2 * sizes.key_value) + 3 * hidden * config.intermediate_size;
    sizes.largest_matrix = hidden * std::max({sizes.query, 2 * sizes.key_value,
                                              std::uint64_t{2} * config.intermediate_size});
    sizes.vectors = 2 * hidden +
                    (config.query_key_value_bias ? sizes.query + 2 * sizes.key_value : 0) +
                    (config.output_bias ? hidden : 0) +
                    (config.head_norms ? std::uint64_t{2} * config.head_dim : 0);
    return sizes;
}

}  // namespace

DocumentFlop count_flop(const ModelConfig& config, std::uint64_t positions) {
    const LayerSizes layer = layer_sizes(config);
    const auto n = static_cast<double>(positions);
    DocumentFlop flop;
    flop.linear = 2.0 * n * static_cast<double>(layer.matrices) * config.layers;
    // Position p reads p + 1 keys; a key costs a product and a sum per component, twice.
    flop.attention = 2.0 * n * (n + 1.0) * static_cast<double>(layer.query) * config.layers;
    flop.vocabulary =
        2.0 * std::max(n - 1.0, 0.0) * static_cast<double>(config.hidden_size) * config.vocabulary;
    return flop;
}

std::uint64_t count_parameters(const ModelConfig& config) {
    const LayerSizes layer = layer_sizes(config);
    const std::uint64_t hidden = config.hidden_size;
    const std::uint64_t embeddings = config.tied_embeddings ? 1 : 2;
    return config.layers * (layer.matrices + layer.vectors) + hidden +
           embeddings * hidden * config.vocabulary;
}

CostEstimate estimate_cost(const ModelConfig& config, std::uint64_t positions, const CpuUse& use) {
    const LayerSizes layer = layer_sizes(config);
    const std::uint64_t hidden = config.hidden_size;
    const std::uint64_t inner = config.intermediate_size;

    CostEstimate cost;
    cost.flop = count_flop(config, positions);
    const std::uint64_t weight_size = use.precision == Precision::bf16 ? 2 : 4;
    const std::uint64_t chunk = std::min<std::uint64_t>(
        positions, static_cast<std::uint64_t>(cpu::rows_per_thread) * use.threads);
    // The embedding stays in the mapped file; a tied one is packed once more for the projection.
    const std::uint64_t layer_bytes = weight_size * layer.matrices + sizeof(float) * layer.vectors;
    const std::uint64_t head_weights = hidden * config.vocabulary;
    const std::uint64_t head_bytes = weight_size * head_weights;
    const std::uint64_t head_while_packed = head_bytes + use.stored_weight_bytes * head_weights;
    cost.weight_bytes = sizeof(float) * hidden;
    if (use.weights == WeightResidency::streamed) {
        cost.weight_bytes += std::max(layer_bytes + use.stored_weight_bytes * layer.largest_matrix,
                                      head_while_packed);
        cost.packed_weights = config.layers * layer.matrices + head_weights;
    } else {
        cost.weight_bytes += std::max(config.layers * layer_bytes + head_bytes, head_while_packed);
    }
    const std::uint64_t tokens_and_losses = 2 + 2;  // each held by the caller too
    cost.document_bytes =
        positions * sizeof(float) * (hidden + config.rotary_dim + tokens_and_losses) +
        cpu::packed_layer_bytes({config.heads, config.kv_heads, config.head_dim},
                                static_cast<std::int64_t>(positions), use.precision);
    const std::uint64_t products = layer.query + 2 * layer.key_value + 2 * inner;
    const std::uint64_t operands = hidden + layer.query + inner;
    cost.work_bytes =
        chunk * (sizeof(float) * products + weight_size * operands) +
        use.threads *
            cpu::scratch_bytes(config.heads / config.kv_heads, config.head_dim,
                               static_cast<std::int64_t>(std::max({hidden, layer.query, inner})));
    cost.peak_bytes = program_bytes + cost.weight_bytes + cost.document_bytes + cost.work_bytes;
    return cost;
}

}  // namespace longrope::evaluator
