// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace longrope::storage {

/// As much of a file as `describe_unreadable` looks at.
constexpr std::size_t superblock_bytes = 64;

/// Why HDF5 does not open a file, in plain words, as far as its superblock tells: "an empty file",
/// "not an HDF5 file", "truncated: 700 of 1000 bytes are there", or else "damaged".
/// @param head        how the file begins, at least `superblock_bytes` of it if it has so many
/// @param file_bytes  its size
/// Source: HDF5 File Format Specification, II.A.
[[nodiscard]] std::string describe_unreadable(std::span<const std::byte> head,
                                              std::uint64_t file_bytes);

}  // namespace longrope::storage
