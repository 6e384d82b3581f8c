// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "evaluator/model/model_config.hpp"
#include "evaluator/precision.hpp"
#include "evaluator/weight_residency.hpp"

namespace longrope::evaluator {

/// Of the evaluator's process itself: code, libraries, allocator.
inline constexpr std::uint64_t program_bytes = std::uint64_t{40} << 20U;

/// The arithmetic of one document, in FLOP. A multiply-add counts as 2; norms, rotation and
/// exponentials are left out (some percent).
struct DocumentFlop {
    double linear = 0.0;      ///< projections and MLP of all layers
    double attention = 0.0;   ///< causal: half of the square
    double vocabulary = 0.0;  ///< projection of the scored positions

    [[nodiscard]] double total() const noexcept { return linear + attention + vocabulary; }
};

/// The same on every backend.
[[nodiscard]] DocumentFlop count_flop(const ModelConfig& config, std::uint64_t positions);

/// Weights of the model, embeddings included.
[[nodiscard]] std::uint64_t count_parameters(const ModelConfig& config);

/// What one document costs on the CPU backend. The mapped model files are read piece by piece and
/// released at once.
struct CostEstimate {
    DocumentFlop flop;
    /// Resident: held as long as the evaluator lives, or the vocabulary projection with the file's
    /// pages where that is more. Streamed: the larger of a layer and the vocabulary projection,
    /// packed, with the file's pages of one matrix.
    std::uint64_t weight_bytes = 0;
    std::uint64_t packed_weights = 0;  ///< elements that a document packs: 0 if resident
    std::uint64_t document_bytes = 0;  ///< residual stream, rotary table, a layer's keys and values
    std::uint64_t work_bytes = 0;      ///< buffers of a chunk and of the threads
    std::uint64_t peak_bytes = 0;      ///< sum of weights, document, work and program_bytes
};

/// How an evaluator on a CPU computes.
struct CpuUse {
    Precision precision = Precision::f32;
    std::uint32_t threads = 1;
    WeightResidency weights = WeightResidency::resident;
    std::uint64_t stored_weight_bytes = 2;  ///< of one weight in the model's files
};

/// Cost of a document of `positions` on the CPU backend, from the shapes alone.
[[nodiscard]] CostEstimate estimate_cost(const ModelConfig& config, std::uint64_t positions,
                                         const CpuUse& use);

}  // namespace longrope::evaluator
