// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "storage/hdf5_handle.hpp"

namespace longrope::coordinator {

static_assert(std::endian::native == std::endian::little,
              "the history is little-endian and is written and read without conversion");

/// What the history stores as a number; bool and enumerations as uint8.
template <typename Value>
concept StoredNumber = std::is_arithmetic_v<Value> || std::is_enum_v<Value>;

/// HDF5's type for Value, in memory and in the file; the library owns it.
template <StoredNumber Value>
[[nodiscard]] hid_t stored_type() {
    if constexpr (std::is_enum_v<Value> || std::is_same_v<Value, bool>) {
        static_assert(sizeof(Value) == 1);
        return H5T_STD_U8LE;
    } else if constexpr (std::is_same_v<Value, std::uint8_t>) {
        return H5T_STD_U8LE;
    } else if constexpr (std::is_same_v<Value, std::uint32_t>) {
        return H5T_STD_U32LE;
    } else if constexpr (std::is_same_v<Value, std::uint64_t>) {
        return H5T_STD_U64LE;
    } else if constexpr (std::is_same_v<Value, std::int32_t>) {
        return H5T_STD_I32LE;
    } else if constexpr (std::is_same_v<Value, std::int64_t>) {
        return H5T_STD_I64LE;
    } else {
        static_assert(std::is_same_v<Value, double>);
        return H5T_IEEE_F64LE;
    }
}

/// A fixed-length UTF-8 text of `bytes` bytes, padded with NUL; HDF5 has none of length 0.
[[nodiscard]] inline storage::Hdf5Type text_type(std::size_t bytes) {
    storage::Hdf5Type type{H5Tcopy(H5T_C_S1), "copy the text type"};
    storage::check_hdf5(H5Tset_size(type.get(), bytes == 0 ? 1 : bytes), "size a text type");
    storage::check_hdf5(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "pad a text type");
    storage::check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), "mark a text type as UTF-8");
    return type;
}

}  // namespace longrope::coordinator
