// SPDX-License-Identifier: Apache-2.0
#include "storage/hdf5_handle.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>

using longrope::storage::check_hdf5;
using longrope::storage::Hdf5Space;
using longrope::storage::QuietHdf5;
using longrope::storage::StorageError;

TEST_CASE("a failed call throws with the action and with HDF5's own explanation") {
    const QuietHdf5 quiet;
    try {
        const longrope::storage::Hdf5File file{
            H5Fopen("/nonexistent/search.h5", H5F_ACC_RDONLY, H5P_DEFAULT),
            "open /nonexistent/search.h5"};
        FAIL("opened");
    } catch (const StorageError& error) {
        const std::string message = error.what();
        CHECK(message.find("cannot open /nonexistent/search.h5: ") == 0);
        CHECK(message.find("No such file or directory") != std::string::npos);
    }
    CHECK_THROWS_AS(check_hdf5(H5Sget_simple_extent_ndims(-1), "read a rank"), StorageError);
}

TEST_CASE("a handle closes its identifier exactly once, wherever it was moved") {
    hid_t id = H5I_INVALID_HID;
    {
        Hdf5Space first{H5Screate(H5S_SCALAR), "create a space"};
        id = first.get();
        Hdf5Space second{std::move(first)};
        CHECK(second.get() == id);
        CHECK(H5Iis_valid(id) > 0);
        Hdf5Space third{H5Screate(H5S_SCALAR), "create a space"};
        third = std::move(second);
        CHECK(third.get() == id);
        CHECK(H5Iget_ref(id) == 1);
    }
    CHECK(H5Iis_valid(id) == 0);
}

TEST_CASE("close reports and leaves nothing for the destructor") {
    Hdf5Space space{H5Screate(H5S_SCALAR), "create a space"};
    const hid_t id = space.get();
    space.close("close the space");
    CHECK(H5Iis_valid(id) == 0);
    space.close("close the space again");
    CHECK(space.get() == H5I_INVALID_HID);
}

TEST_CASE("quiet HDF5 restores the printing that it found") {
    H5E_auto2_t before = nullptr;
    void* data = nullptr;
    H5Eget_auto2(H5E_DEFAULT, &before, &data);
    {
        const QuietHdf5 quiet;
        H5E_auto2_t inside = nullptr;
        H5Eget_auto2(H5E_DEFAULT, &inside, &data);
        CHECK((inside == nullptr));
    }
    H5E_auto2_t after = nullptr;
    H5Eget_auto2(H5E_DEFAULT, &after, &data);
    CHECK((after == before));
}
