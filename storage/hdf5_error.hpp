// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <stdexcept>
#include <string>

namespace longrope::storage {

/// An HDF5 call that failed: what was attempted, and HDF5's own words for why.
class StorageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// HDF5's explanation of the calling thread's last failed call, outermost frame first, joined by
/// "; "; empty if the stack is empty. Any further HDF5 call clears it: read it at once.
[[nodiscard]] std::string hdf5_error_text();

/// @throws StorageError "cannot <action>: <HDF5's explanation>"
[[noreturn]] void throw_hdf5_error(const std::string& action);

/// Checks the status of a call that returns no identifier (herr_t, htri_t, ssize_t, int).
/// @returns status, if it is not negative
/// @throws  StorageError "cannot <action>: <HDF5's explanation>" if it is
template <typename Status>
Status check_hdf5(Status status, const std::string& action) {
    if (status < 0) throw_hdf5_error(action);
    return status;
}

/// Keeps HDF5 from printing its error stack to stderr on the calling thread while it lives; the
/// text belongs in the exception instead. The setting is per thread: every thread that calls HDF5
/// needs its own.
class QuietHdf5 {
public:
    QuietHdf5();
    QuietHdf5(const QuietHdf5&) = delete;
    QuietHdf5& operator=(const QuietHdf5&) = delete;
    ~QuietHdf5();

private:
    H5E_auto2_t print_ = nullptr;
    void* data_ = nullptr;
};

}  // namespace longrope::storage
