// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace longrope::evaluator {

enum class DataType : std::uint8_t { f32, f16, bf16 };

/// A tensor inside a memory-mapped safetensors file, row-major; valid as long as its ModelFolder.
struct TensorView {
    std::string name;
    DataType type = DataType::f32;
    std::vector<std::int64_t> shape;
    std::span<const std::byte> bytes;  ///< little-endian, exactly product(shape) * element size

    [[nodiscard]] std::int64_t elements() const noexcept;
};

/// The tensor's values as float32 (f16 and bf16 are widened exactly), in storage order.
[[nodiscard]] std::vector<float> widen(const TensorView& tensor);

}  // namespace longrope::evaluator
