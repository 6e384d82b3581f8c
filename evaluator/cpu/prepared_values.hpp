// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "evaluator/cpu/matrix_product.hpp"
#include "evaluator/device_ops.hpp"

namespace longrope::evaluator::cpu {

/// Norm weights or biases.
struct CpuVector : Prepared {
    std::vector<float> values;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        return values.size() * sizeof(float);
    }
};

/// The embedding is read where the file is mapped; only the rows of a document are touched.
struct CpuEmbedding : Prepared {
    TensorView table;
    [[nodiscard]] std::uint64_t bytes() const noexcept override { return 0; }
};

/// A projection, in one block; the vocabulary projection in several, outputs in sequence.
struct CpuMatrix : Prepared {
    std::vector<PackedMatrix> blocks;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        std::uint64_t total = 0;
        for (const PackedMatrix& block : blocks) total += block.bytes();
        return total;
    }
};

struct CpuTokens : Prepared {
    std::vector<std::int32_t> tokens;
    [[nodiscard]] std::uint64_t bytes() const noexcept override {
        return tokens.size() * sizeof(std::int32_t);
    }
};

/// Spans of the RotaryTable itself, which the caller keeps.
struct CpuRotary : Prepared {
    std::int64_t pairs = 0;
    std::span<const float> cosines;  // [positions, pairs]
    std::span<const float> sines;
    [[nodiscard]] std::uint64_t bytes() const noexcept override { return 0; }
};

}  // namespace longrope::evaluator::cpu
