// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

#include "storage/hdf5_handle.hpp"

namespace longrope::coordinator {

/// The bytes of a new HDF5 file, built in memory in the format of HDF5 1.8 (superblock 2,
/// checksums, no times). Equal calls give equal bytes.
/// @param fill  writes into the open file and leaves nothing of it open
/// @throws storage::StorageError, or whatever `fill` throws
[[nodiscard]] std::vector<std::byte> build_file_image(const std::function<void(hid_t)>& fill);

/// Opens the bytes of an HDF5 file for reading; takes a copy, the disk is not touched.
/// @throws storage::StorageError
[[nodiscard]] storage::Hdf5File open_file_image(std::span<const std::byte> image);

}  // namespace longrope::coordinator
