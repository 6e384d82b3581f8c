// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace longrope::evaluator {

enum class DataType : std::uint8_t { f32, f16, bf16 };

/// Bytes of one element.
[[nodiscard]] std::size_t element_size(DataType type) noexcept;

/// The name that safetensors uses: F32, F16, BF16.
[[nodiscard]] const char* data_type_name(DataType type) noexcept;

/// Exact: every half, subnormal, infinity and NaN payload included, has its float.
[[nodiscard]] float widen_f16(std::uint16_t half) noexcept;
[[nodiscard]] float widen_bf16(std::uint16_t brain) noexcept;

/// A tensor inside a memory-mapped safetensors file, row-major; valid as long as its ModelFolder.
struct TensorView {
    std::string name;
    DataType type = DataType::f32;
    std::vector<std::int64_t> shape;
    std::span<const std::byte> bytes;  ///< little-endian, exactly product(shape) * element size
    int file = -1;                     ///< descriptor of the file that they are mapped from, if any
    std::uint64_t file_offset = 0;     ///< where they begin in it

    [[nodiscard]] std::int64_t elements() const noexcept;
    /// Rows first .. first + count - 1 of the outermost dimension, which must exist.
    [[nodiscard]] TensorView rows(std::int64_t first, std::int64_t count) const;
};

/// The tensor's values as float32 (f16 and bf16 are widened exactly), in storage order.
[[nodiscard]] std::vector<float> widen(const TensorView& tensor);
/// The same into `values`, shape [tensor.elements()].
void widen(const TensorView& tensor, std::span<float> values) noexcept;
/// One row as float32, read from the file where there is one. To rows that lie here and there a
/// mapping is no friend: the system maps 64 KiB around each, or as much as it caches in one piece
/// (2 MiB, Linux 6.18), and all that is this process's memory.
/// @throws EvaluatorError if the file gives the row no more
[[nodiscard]] std::vector<float> read_row(const TensorView& table, std::int64_t row);

}  // namespace longrope::evaluator
