// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// A history of a format that this program is too old for.
class NewerHistory : public HistoryError {
public:
    using HistoryError::HistoryError;
};

/// The history in the bytes of an HDF5 file. Everything is checked: format name and version, every
/// group, dataset, type and shape, values of enumerations, and the digest over all values.
/// @param file  its name, for messages
/// @throws HistoryError "<file>: <path>: found …, expected …", or what the bytes are if they are
///         not HDF5, truncated or damaged; NewerHistory
[[nodiscard]] RunHistory decode_history(std::span<const std::byte> image, const std::string& file);

}  // namespace longrope::coordinator
