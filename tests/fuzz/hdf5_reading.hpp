// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace longrope::fuzz {

/// What a reader made of an HDF5 file: its content, equal for equal contents, or a refusal.
struct Hdf5Reading {
    std::optional<std::string> content;
    std::string refusal;
    /// What a digest in the file vouches for; nothing if there is no digest.
    std::optional<std::string> sealed{};
};

/// Both catch the class of error that the reader documents, and no other.
[[nodiscard]] Hdf5Reading read_documents(std::span<const std::uint8_t> bytes);
[[nodiscard]] Hdf5Reading read_history(std::span<const std::uint8_t> bytes);

}  // namespace longrope::fuzz
