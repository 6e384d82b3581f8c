// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/tensor_view.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <bit>
#include <cassert>
#include <cerrno>
#include <cstring>
#include <functional>
#include <numeric>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator {

static_assert(std::endian::native == std::endian::little,
              "safetensors are little-endian and are read as they lie in memory");

namespace {

template <typename Bits>
Bits load(std::span<const std::byte> bytes, std::size_t index) {
    Bits bits;  // tensors need not be aligned inside the file
    std::memcpy(&bits, bytes.data() + index * sizeof(Bits), sizeof(Bits));
    return bits;
}

}  // namespace

std::size_t element_size(DataType type) noexcept {
    return type == DataType::f32 ? 4 : 2;
}

const char* data_type_name(DataType type) noexcept {
    switch (type) {
        case DataType::f32:
            return "F32";
        case DataType::f16:
            return "F16";
        case DataType::bf16:
            return "BF16";
    }
    return "unknown";
}

float widen_f16(std::uint16_t half) noexcept {
    const std::uint32_t sign = (half & 0x8000U) << 16U;
    const std::uint32_t exponent = (half >> 10U) & 0x1FU;
    const std::uint32_t fraction = half & 0x3FFU;
    if (exponent == 0x1FU) {  // infinity, or NaN with its payload
        return std::bit_cast<float>(sign | 0x7F800000U | (fraction << 13U));
    }
    if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact in float
        const float magnitude = static_cast<float>(fraction) * 0x1.0p-24F;
        return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(magnitude));
    }
    return std::bit_cast<float>(sign | ((exponent + 112U) << 23U) | (fraction << 13U));
}

float widen_bf16(std::uint16_t brain) noexcept {
    return std::bit_cast<float>(std::uint32_t{brain} << 16U);
}

std::int64_t TensorView::elements() const noexcept {
    return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>{});
}

TensorView TensorView::rows(std::int64_t first, std::int64_t count) const {
    assert(first >= 0 && count >= 0 && first + count <= shape.at(0));
    const std::size_t row_bytes = bytes.size() / static_cast<std::size_t>(shape[0]);
    TensorView part{name,
                    type,
                    shape,
                    bytes.subspan(static_cast<std::size_t>(first) * row_bytes,
                                  static_cast<std::size_t>(count) * row_bytes),
                    file,
                    file_offset + static_cast<std::uint64_t>(first) * row_bytes};
    part.shape[0] = count;
    return part;
}

void widen(const TensorView& tensor, std::span<float> values) noexcept {
    const std::size_t count = values.size();
    assert(tensor.bytes.size() == count * element_size(tensor.type));
    switch (tensor.type) {
        case DataType::f32:
            if (count > 0) std::memcpy(values.data(), tensor.bytes.data(), count * sizeof(float));
            break;
        case DataType::f16:
            for (std::size_t i = 0; i < count; ++i) {
                values[i] = widen_f16(load<std::uint16_t>(tensor.bytes, i));
            }
            break;
        case DataType::bf16:
            for (std::size_t i = 0; i < count; ++i) {
                values[i] = widen_bf16(load<std::uint16_t>(tensor.bytes, i));
            }
            break;
    }
}

std::vector<float> widen(const TensorView& tensor) {
    std::vector<float> values(tensor.bytes.size() / element_size(tensor.type));
    widen(tensor, values);
    return values;
}

std::vector<float> read_row(const TensorView& table, std::int64_t row) {
    TensorView part = table.rows(row, 1);
    if (part.file < 0) return widen(part);
    std::vector<std::byte> bytes(part.bytes.size());
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t got = ::pread(part.file, bytes.data() + done, bytes.size() - done,
                                    static_cast<off_t>(part.file_offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) {
            throw EvaluatorError{fmt::format("{}: row {} cannot be read from its file: {}",
                                             part.name, row,
                                             got < 0 ? std::strerror(errno) : "it ends before")};
        }
        done += static_cast<std::size_t>(got);
    }
    part.bytes = bytes;
    return widen(part);
}

}  // namespace longrope::evaluator
