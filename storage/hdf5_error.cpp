// SPDX-License-Identifier: Apache-2.0
#include "storage/hdf5_error.hpp"

#include <fmt/format.h>

namespace longrope::storage {

namespace {

herr_t append_frame(unsigned /*depth*/, const H5E_error2_t* frame, void* text) {
    // An exception must not cross the C library; a message cut short is better than none.
    try {
        auto& joined = *static_cast<std::string*>(text);
        if (frame->desc == nullptr || *frame->desc == '\0') return 0;
        if (!joined.empty()) joined += "; ";
        joined += frame->desc;
        return 0;
    } catch (...) {
        return -1;
    }
}

}  // namespace

std::string hdf5_error_text() {
    std::string text;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_DOWNWARD, &append_frame, &text);
    return text;
}

void throw_hdf5_error(const std::string& action) {
    const std::string text = hdf5_error_text();
    if (text.empty()) throw StorageError{fmt::format("cannot {}", action)};
    throw StorageError{fmt::format("cannot {}: {}", action, text)};
}

QuietHdf5::QuietHdf5() {
    H5Eget_auto2(H5E_DEFAULT, &print_, &data_);
    H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
}

QuietHdf5::~QuietHdf5() {
    H5Eset_auto2(H5E_DEFAULT, print_, data_);
}

}  // namespace longrope::storage
