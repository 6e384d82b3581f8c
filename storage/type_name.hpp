// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <string>

namespace longrope::storage {

/// "float64", "uint8", "text of 12 bytes": a type in the words of the formats' pages.
[[nodiscard]] std::string type_name(hid_t type);

}  // namespace longrope::storage
