// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "evaluator/cuda/cuda_ops.hpp"
#include "tests/cuda_emulator/plain_libraries.hpp"

namespace longrope::tests::cuda_emulator {

/// Tiles so small that a document of some hundred tokens spans several chunks, blocks, segments of
/// both lengths, head groups and tiles of logits.
inline constexpr evaluator::cuda::TilePlan small_tiles{.chunk_rows = 256,
                                                       .attention_rows = 128,
                                                       .segment_keys = 256,
                                                       .kv_heads_per_group = 1,
                                                       .loss_rows = 100,
                                                       .vocabulary_tile = 64};

struct EmulatedDevice {
    evaluator::cuda::CudaDevice device;
    Emulator* emulator = nullptr;  // owned by the device
};

/// An emulator with the plain libraries.
inline EmulatedDevice make_emulated_device(const EmulatorSettings& settings = {}) {
    auto emulator = std::make_unique<Emulator>(settings);
    Emulator* const observed = emulator.get();
    return {{.runtime = std::move(emulator),
             .products = std::make_unique<PlainProducts>(*observed),
             .attention = std::make_unique<PlainAttention>(*observed)},
            observed};
}

/// The CUDA backend on an emulator, as it is on a device of that memory.
inline std::unique_ptr<evaluator::DeviceOps> emulated_ops(
    const evaluator::ModelConfig& config, std::int64_t positions,
    const evaluator::cuda::TilePlan& tiles = small_tiles, const EmulatorSettings& settings = {}) {
    return evaluator::cuda::make_cuda_ops(
        make_emulated_device(settings).device, config,
        {.longest_positions = static_cast<std::uint64_t>(positions), .tiles = tiles});
}

}  // namespace longrope::tests::cuda_emulator
