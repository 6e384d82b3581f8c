// SPDX-License-Identifier: Apache-2.0
#include "storage/unreadable_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

namespace longrope::storage {

namespace {

constexpr std::array<unsigned char, 8> signature{0x89, 'H', 'D', 'F', '\r', '\n', 0x1A, '\n'};

/// The size that the file had when it was closed; nothing where the superblock does not tell.
std::optional<std::uint64_t> size_when_written(std::span<const std::byte> head) {
    const auto byte = [head](std::size_t at) { return std::to_integer<std::uint64_t>(head[at]); };
    constexpr std::size_t version_at = signature.size();
    if (head.size() <= version_at + 5) return std::nullopt;
    const std::uint64_t version = byte(version_at);
    if (version > 3) return std::nullopt;
    const bool newer = version >= 2;
    constexpr std::uint64_t address_bytes = 8;  // what every writer of today has
    if (byte(newer ? 9 : 13) != address_bytes) return std::nullopt;
    // After the addresses of the file's base and of one part more.
    const std::size_t at = newer ? 28 : version == 1 ? 44 : 40;
    if (head.size() < at + address_bytes) return std::nullopt;
    std::uint64_t size = 0;
    for (std::size_t i = address_bytes; i-- > 0;) size = (size << 8U) | byte(at + i);
    return size;
}

}  // namespace

std::string describe_unreadable(std::span<const std::byte> head, std::uint64_t file_bytes) {
    if (file_bytes == 0) return "an empty file";
    const auto begins = head.first(std::min(head.size(), signature.size()));
    if (!std::ranges::equal(begins, std::as_bytes(std::span{signature}).first(begins.size()))) {
        return "not an HDF5 file";
    }
    const auto written = size_when_written(head);
    if (written && *written > file_bytes) {
        return fmt::format("truncated: {} of {} bytes are there", file_bytes, *written);
    }
    return written ? "damaged" : fmt::format("truncated or damaged: {} bytes", file_bytes);
}

}  // namespace longrope::storage
