// SPDX-License-Identifier: Apache-2.0
#include "evaluator/transformer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

/// Buffers of one document. All but `hidden` and `losses` hold one chunk at a time.
struct Transformer::Workspace {
    DeviceBuffer hidden;     // state [positions, hidden]: the residual stream
    DeviceBuffer losses;     // state [positions, 1]
    DeviceBuffer normed;     // operand [chunk, hidden]
    DeviceBuffer key_value;  // product [chunk, 2 * kv_heads * head_dim], keys first
    DeviceBuffer query;      // product [chunk, heads * head_dim]
    DeviceBuffer attended;   // operand [chunk, heads * head_dim]
    DeviceBuffer gate_up;    // product [chunk, 2 * intermediate], gate first
    DeviceBuffer activated;  // operand [chunk, intermediate]
};

Transformer::Transformer(const ModelFolder& model, DeviceOps& ops, WeightResidency residency)
    : ops_{ops},
      model_{model},
      config_{model.config()},
      tensors_{find_tensors(model)},
      residency_{residency} {
    embedding_ = ops_.prepare_embedding(tensors_.embedding);
    final_norm_ = ops_.prepare_vector(tensors_.final_norm);
    if (residency == WeightResidency::streamed) return;
    // The largest tensor first: its pages of the file and the copies are never in memory all.
    head_ = prepare_head();
    for (const LayerTensors& layer : tensors_.layers) layers_.push_back(prepare_layer(layer));
}

std::unique_ptr<Prepared> Transformer::prepare_head() const {
    std::unique_ptr<Prepared> head = ops_.prepare_head(tensors_.head);
    model_.release_pages();
    return head;
}

Transformer::Layer Transformer::prepare_layer(const LayerTensors& tensors) const {
    // What is prepared is a copy: the file's pages go as we go, matrix by matrix.
    const auto prepare = [this](std::span<const TensorView> stacked) {
        std::unique_ptr<Prepared> matrix = ops_.prepare_matrix(stacked);
        model_.release_pages();
        return matrix;
    };
    const auto matrix = [&](const TensorView& tensor) { return prepare(std::array{tensor}); };
    const auto stacked = [&](const TensorView& first, const TensorView& second) {
        return prepare(std::array{first, second});
    };
    const auto optional = [this](const std::optional<TensorView>& tensor) {
        return tensor ? ops_.prepare_vector(*tensor) : nullptr;
    };
    return Layer{
        .attention_norm = ops_.prepare_vector(tensors.attention_norm),
        .query = matrix(tensors.query),
        .key_value = stacked(tensors.key, tensors.value),
        .output = matrix(tensors.output),
        .mlp_norm = ops_.prepare_vector(tensors.mlp_norm),
        .gate_up = stacked(tensors.gate, tensors.up),
        .down = matrix(tensors.down),
        .query_bias = optional(tensors.query_bias),
        .key_bias = optional(tensors.key_bias),
        .value_bias = optional(tensors.value_bias),
        .output_bias = optional(tensors.output_bias),
        .query_norm = optional(tensors.query_norm),
        .key_norm = optional(tensors.key_norm),
    };
}

std::uint64_t Transformer::weight_bytes() const noexcept {
    std::uint64_t total = embedding_->bytes() + final_norm_->bytes();
    if (head_) total += head_->bytes();
    for (const Layer& layer : layers_) {
        for (const auto* part :
             {&layer.attention_norm, &layer.query, &layer.key_value, &layer.output, &layer.mlp_norm,
              &layer.gate_up, &layer.down, &layer.query_bias, &layer.key_bias, &layer.value_bias,
              &layer.output_bias, &layer.query_norm, &layer.key_norm}) {
            if (*part) total += (*part)->bytes();
        }
    }
    return total;
}

std::vector<Transformer::Chunk> Transformer::chunks(std::int64_t positions) const {
    std::vector<Chunk> result;
    const std::int64_t step = ops_.chunk_rows();
    for (std::int64_t first = 0; first < positions; first += step) {
        result.push_back({first, std::min(step, positions - first)});
    }
    return result;
}

void Transformer::store_keys_and_values(const Layer& layer, const Chunk& chunk,
                                        const Prepared& rotary, const Workspace& work) {
    const std::int64_t kv_size = std::int64_t{config_.kv_heads} * config_.head_dim;
    const DeviceMatrix normed = work.normed.view().row_range(0, chunk.rows);
    const DeviceMatrix key_value = work.key_value.view().row_range(0, chunk.rows);
    const DeviceMatrix keys = key_value.column_range(0, kv_size);
    const DeviceMatrix values = key_value.column_range(kv_size, kv_size);

    ops_.rms_norm(work.hidden.view().row_range(chunk.first, chunk.rows), *layer.attention_norm,
                  static_cast<float>(config_.rms_norm_eps), normed);
    ops_.matmul(normed, *layer.key_value, key_value);
    finish_heads(keys, layer.key_bias.get(), layer.key_norm.get(), chunk, rotary);
    if (layer.value_bias) ops_.add_bias(values, *layer.value_bias);
    ops_.append_kv(keys, values, chunk.first);
}

void Transformer::finish_heads(const DeviceMatrix& heads, const Prepared* bias,
                               const Prepared* norm, const Chunk& chunk, const Prepared& rotary) {
    if (bias != nullptr) ops_.add_bias(heads, *bias);
    if (norm != nullptr) {
        ops_.rms_norm_heads(heads, config_.head_dim, *norm,
                            static_cast<float>(config_.rms_norm_eps));
    }
    ops_.rotate(heads, config_.head_dim, rotary, chunk.first);
}

void Transformer::attend_and_mix(const Layer& layer, const Chunk& chunk, const Prepared& rotary,
                                 const Workspace& work) {
    const auto epsilon = static_cast<float>(config_.rms_norm_eps);
    const auto rows = [&](const DeviceBuffer& buffer) {
        return buffer.view().row_range(0, chunk.rows);
    };
    const DeviceMatrix hidden = work.hidden.view().row_range(chunk.first, chunk.rows);

    ops_.rms_norm(hidden, *layer.attention_norm, epsilon, rows(work.normed));
    ops_.matmul(rows(work.normed), *layer.query, rows(work.query));
    finish_heads(rows(work.query), layer.query_bias.get(), layer.query_norm.get(), chunk, rotary);
    ops_.attend(rows(work.query), chunk.first, rows(work.attended));
    ops_.matmul_add(rows(work.attended), *layer.output, hidden);
    if (layer.output_bias) ops_.add_bias(hidden, *layer.output_bias);

    ops_.rms_norm(hidden, *layer.mlp_norm, epsilon, rows(work.normed));
    ops_.matmul(rows(work.normed), *layer.gate_up, rows(work.gate_up));
    ops_.swiglu(rows(work.gate_up), rows(work.activated));
    ops_.matmul_add(rows(work.activated), *layer.down, hidden);
}

void Transformer::run_layer(const Layer& layer, std::int64_t positions, const Prepared& rotary,
                            const Workspace& work) {
    ops_.begin_layer_kv({config_.heads, config_.kv_heads, config_.head_dim}, positions);
    const std::vector<Chunk> all_chunks = chunks(positions);
    for (const Chunk& chunk : all_chunks) store_keys_and_values(layer, chunk, rotary, work);
    for (const Chunk& chunk : all_chunks) attend_and_mix(layer, chunk, rotary, work);
}

std::vector<float> Transformer::token_nll(std::span<const std::int32_t> tokens,
                                          const RotaryTable& rotary) {
    const auto positions = static_cast<std::int64_t>(tokens.size());
    if (positions < 2) {
        throw EvaluatorError{
            fmt::format("a document of {} positions cannot be scored: give at least 2", positions)};
    }
    assert(rotary.positions() >= positions);
    const std::int64_t query_size = std::int64_t{config_.heads} * config_.head_dim;
    const std::int64_t kv_size = std::int64_t{config_.kv_heads} * config_.head_dim;
    const std::int64_t hidden_size = config_.hidden_size;
    const std::int64_t inner = config_.intermediate_size;
    const std::int64_t chunk_rows = std::min(ops_.chunk_rows(), positions);

    const std::unique_ptr<Prepared> device_tokens = ops_.prepare_tokens(tokens);
    const std::unique_ptr<Prepared> device_rotary = ops_.prepare_rotary(rotary);
    const Workspace work{
        .hidden = ops_.allocate(Storage::state, positions, hidden_size),
        .losses = ops_.allocate(Storage::state, positions, 1),
        .normed = ops_.allocate(Storage::operand, chunk_rows, hidden_size),
        .key_value = ops_.allocate(Storage::product, chunk_rows, 2 * kv_size),
        .query = ops_.allocate(Storage::product, chunk_rows, query_size),
        .attended = ops_.allocate(Storage::operand, chunk_rows, query_size),
        .gate_up = ops_.allocate(Storage::product, chunk_rows, 2 * inner),
        .activated = ops_.allocate(Storage::operand, chunk_rows, inner),
    };

    for (const Chunk& chunk : chunks(positions)) {
        ops_.embed(*embedding_, *device_tokens, chunk.first,
                   work.hidden.view().row_range(chunk.first, chunk.rows));
    }
    const bool streamed = residency_ == WeightResidency::streamed;
    for (std::size_t i = 0; i < tensors_.layers.size(); ++i) {
        Layer packed_now;
        if (streamed) packed_now = prepare_layer(tensors_.layers[i]);
        run_layer(streamed ? packed_now : layers_[i], positions, *device_rotary, work);
    }
    const std::unique_ptr<Prepared> streamed_head = streamed ? prepare_head() : nullptr;
    const Prepared& head = streamed ? *streamed_head : *head_;
    for (const Chunk& chunk : chunks(positions - 1)) {  // the last position predicts nothing
        const DeviceMatrix normed = work.normed.view().row_range(0, chunk.rows);
        ops_.rms_norm(work.hidden.view().row_range(chunk.first, chunk.rows), *final_norm_,
                      static_cast<float>(config_.rms_norm_eps), normed);
        ops_.nll(normed, head, *device_tokens, chunk.first,
                 work.losses.view().row_range(chunk.first, chunk.rows));
    }
    std::vector<float> losses(static_cast<std::size_t>(positions - 1));
    ops_.download(work.losses.view().row_range(0, positions - 1), losses);
    for (float& loss : losses) {
        if (loss < 0.0F) loss = 0.0F;  // keeps NaN
    }
    return losses;
}

}  // namespace longrope::evaluator
