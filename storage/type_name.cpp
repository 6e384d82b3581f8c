// SPDX-License-Identifier: Apache-2.0
#include "storage/type_name.hpp"

#include <fmt/format.h>

#include <cstddef>

namespace longrope::storage {

std::string type_name(hid_t type) {
    const std::size_t bytes = H5Tget_size(type);
    switch (H5Tget_class(type)) {
        case H5T_INTEGER:
            return fmt::format("{}int{}", H5Tget_sign(type) == H5T_SGN_NONE ? "u" : "", 8 * bytes);
        case H5T_FLOAT:
            return fmt::format("float{}", 8 * bytes);
        case H5T_STRING:
            return H5Tis_variable_str(type) > 0 ? "variable-length text"
                                                : fmt::format("text of {} bytes", bytes);
        case H5T_COMPOUND:
            return "a compound";
        default:
            return "another type";
    }
}

}  // namespace longrope::storage
