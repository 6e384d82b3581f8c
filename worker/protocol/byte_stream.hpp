// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "worker/protocol/messages.hpp"

namespace longrope::protocol {

static_assert(std::endian::native == std::endian::little, "frames are little-endian");

/// Appends values to a byte vector.
class ByteWriter {
public:
    template <typename T>
    requires std::is_arithmetic_v<T>
    void operator()(const T& value) { append(&value, sizeof(T)); }
    void operator()(const std::string& text) {
        (*this)(length(text.size()));
        append(text.data(), text.size());
    }
    template <typename T>
    void operator()(const std::vector<T>& values) {
        (*this)(length(values.size()));
        append(values.data(), values.size() * sizeof(T));
    }
    [[nodiscard]] std::vector<std::byte>& bytes() noexcept { return bytes_; }

private:
    void append(const void* data, std::size_t size) {
        if (size == 0) return;
        const std::size_t at = bytes_.size();
        bytes_.resize(at + size);
        std::memcpy(bytes_.data() + at, data, size);
    }
    static std::uint32_t length(std::size_t size) {
        if (size > std::numeric_limits<std::uint32_t>::max()) {
            throw ProtocolError{fmt::format("a field of {} elements does not fit a frame", size)};
        }
        return static_cast<std::uint32_t>(size);
    }
    std::vector<std::byte> bytes_;
};

/// Reads values back; every length is checked against what is left.
class ByteReader {
public:
    explicit ByteReader(std::span<const std::byte> bytes) : bytes_{bytes} {}

    template <typename T>
    requires std::is_arithmetic_v<T>
    void operator()(T& value) {
        if constexpr (std::is_same_v<T, bool>) {
            std::uint8_t raw = 0;
            (*this)(raw);
            if (raw > 1) throw ProtocolError{fmt::format("a truth value of {} in a frame", raw)};
            value = raw == 1;
        } else {
            std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
        }
    }
    void operator()(std::string& text) {
        const std::span<const std::byte> raw = take(length(1));
        text.assign(reinterpret_cast<const char*>(raw.data()), raw.size());
    }
    template <typename T>
    void operator()(std::vector<T>& values) {
        const std::size_t count = length(sizeof(T));
        const std::span<const std::byte> raw = take(count * sizeof(T));
        values.resize(count);
        if (count > 0) std::memcpy(values.data(), raw.data(), raw.size());
    }
    /// @throws ProtocolError if bytes are left over
    void finish() const {
        if (!bytes_.empty()) {
            throw ProtocolError{fmt::format("{} bytes too many in a frame", bytes_.size())};
        }
    }

private:
    std::size_t length(std::size_t element) {
        std::uint32_t count = 0;
        (*this)(count);
        if (count > bytes_.size() / element) {
            throw ProtocolError{
                fmt::format("a field of {} elements of {} bytes in a frame with {} "
                            "bytes left",
                            count, element, bytes_.size())};
        }
        return count;
    }
    std::span<const std::byte> take(std::size_t size) {
        if (size > bytes_.size()) {
            throw ProtocolError{fmt::format("a frame ends {} bytes early", size - bytes_.size())};
        }
        const std::span<const std::byte> head = bytes_.first(size);
        bytes_ = bytes_.subspan(size);
        return head;
    }
    std::span<const std::byte> bytes_;
};

}  // namespace longrope::protocol
