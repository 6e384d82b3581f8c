// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "evaluator/cpu/instruction_set.hpp"
#include "evaluator/device_ops.hpp"
#include "evaluator/precision.hpp"

namespace longrope::evaluator::cpu {

struct CpuSettings {
    InstructionSet instruction_set = InstructionSet::baseline;
    Precision precision = Precision::f32;
    std::uint32_t threads = 1;
    /// Rows of a call, a multiple of 384; 0: 384 per thread. Bits do not depend on it.
    std::int64_t chunk_rows = 0;
};

/// oneDNN for the projections, own vector kernels for everything else, own threads that take whole
/// tiles: the same bits for any number of threads.
/// @throws EvaluatorError  as MatrixLibrary
[[nodiscard]] std::unique_ptr<DeviceOps> make_cpu_ops(const CpuSettings& settings);

/// Rows that one thread is given of a call: a multiple of the tiles of products and of attention.
inline constexpr std::int64_t rows_per_thread = 384;

/// Working memory of one thread: a tile's logits, one attention task or rows to be packed.
/// @param inputs  of the widest matrix
[[nodiscard]] std::uint64_t scratch_bytes(std::int64_t group, std::int64_t head_dim,
                                          std::int64_t inputs) noexcept;

/// Memory of one layer's packed keys and values, with the padding of the kernels.
[[nodiscard]] std::uint64_t packed_layer_bytes(const AttentionShape& shape, std::int64_t positions,
                                               Precision precision) noexcept;

/// Raised when the arithmetic of this backend changes with that instruction set and precision.
[[nodiscard]] constexpr int kernel_revision(InstructionSet set, Precision precision) noexcept {
    if (precision == Precision::bf16) return 3;    // attention in bfloat16
    return set == InstructionSet::avx512 ? 2 : 3;  // products by oneDNN's convolution
}

}  // namespace longrope::evaluator::cpu
