// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <string>
#include <utility>

#include "storage/hdf5_error.hpp"

namespace longrope::storage {

/// Owns one HDF5 identifier and closes it exactly once. Move-only.
template <herr_t (*Close)(hid_t)>
class Hdf5Handle {
public:
    /// @throws StorageError "cannot <action>: <HDF5's explanation>" if `id` is the negative value
    ///         that HDF5 returns on failure
    Hdf5Handle(hid_t id, const std::string& action) : id_{id} {
        if (id_ < 0) throw_hdf5_error(action);
    }
    Hdf5Handle(Hdf5Handle&& other) noexcept : id_{std::exchange(other.id_, H5I_INVALID_HID)} {}
    Hdf5Handle& operator=(Hdf5Handle&& other) noexcept {
        std::swap(id_, other.id_);  // `other` closes what we held
        return *this;
    }
    Hdf5Handle(const Hdf5Handle&) = delete;
    Hdf5Handle& operator=(const Hdf5Handle&) = delete;
    // A destructor cannot report a lost write: flush, or close(), and check before the handle goes.
    ~Hdf5Handle() {
        if (id_ >= 0) Close(id_);
    }

    [[nodiscard]] hid_t get() const noexcept { return id_; }

    /// Closes now, so that a failure to write what was buffered is seen.
    /// @throws StorageError "cannot <action>: <HDF5's explanation>"
    void close(const std::string& action) {
        if (id_ < 0) return;
        check_hdf5(Close(std::exchange(id_, H5I_INVALID_HID)), action);
    }

private:
    hid_t id_;
};

using Hdf5File = Hdf5Handle<&H5Fclose>;
using Hdf5Group = Hdf5Handle<&H5Gclose>;
using Hdf5Dataset = Hdf5Handle<&H5Dclose>;
using Hdf5Space = Hdf5Handle<&H5Sclose>;
using Hdf5Type = Hdf5Handle<&H5Tclose>;
using Hdf5Attribute = Hdf5Handle<&H5Aclose>;
using Hdf5PropertyList = Hdf5Handle<&H5Pclose>;

}  // namespace longrope::storage
