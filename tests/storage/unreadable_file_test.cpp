// SPDX-License-Identifier: Apache-2.0
#include "storage/unreadable_file.hpp"

#include <doctest/doctest.h>
#include <fmt/core.h>
#include <hdf5.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <utility>

#include "storage/hdf5_handle.hpp"

namespace longrope::storage {
namespace {

/// The bytes of a file that HDF5 writes between these versions of its format.
std::string written(H5F_libver_t oldest, H5F_libver_t newest) {
    const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                       fmt::format("longrope-unreadable-{}.h5", ::getpid());
    {
        const Hdf5PropertyList access{H5Pcreate(H5P_FILE_ACCESS), "create a property list"};
        check_hdf5(H5Pset_libver_bounds(access.get(), oldest, newest), "choose the format");
        Hdf5File file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()),
                      "create " + path.string()};
        file.close("close " + path.string());
    }
    std::ifstream stream{path, std::ios::binary};
    std::string bytes{std::istreambuf_iterator<char>{stream}, {}};
    std::filesystem::remove(path);
    return bytes;
}

std::string described(const std::string& bytes) {
    return describe_unreadable(
        std::as_bytes(std::span{bytes}).first(std::min(bytes.size(), superblock_bytes)),
        bytes.size());
}

}  // namespace

TEST_CASE("a file that HDF5 does not open is told from its size and its superblock") {
    CHECK(described("") == "an empty file");
    CHECK(described("It was the best of times, it was the worst of times") == "not an HDF5 file");
    CHECK(described("\x89HDG") == "not an HDF5 file");
    CHECK(described("\x89HD") == "truncated or damaged: 3 bytes");
}

TEST_CASE("a file cut off is told from how long it was, in every version of the superblock") {
    for (const auto& [oldest, newest] : {std::pair{H5F_LIBVER_EARLIEST, H5F_LIBVER_V18},
                                         {H5F_LIBVER_V18, H5F_LIBVER_V18},
                                         {H5F_LIBVER_V110, H5F_LIBVER_V110}}) {
        const std::string whole = written(oldest, newest);
        INFO("superblock ", int{whole[8]}, ", ", whole.size(), " bytes");
        CHECK(described(whole) == "damaged");
        for (const std::size_t left : {whole.size() - 1, std::size_t{superblock_bytes}}) {
            if (left >= whole.size()) continue;
            CHECK(described(whole.substr(0, left)) ==
                  fmt::format("truncated: {} of {} bytes are there", left, whole.size()));
        }
        for (std::size_t left = 8; left < 28; ++left) {
            CHECK(described(whole.substr(0, left)) ==
                  fmt::format("truncated or damaged: {} bytes", left));
        }
    }
}

}  // namespace longrope::storage
