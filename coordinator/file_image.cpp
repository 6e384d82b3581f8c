// SPDX-License-Identifier: Apache-2.0
#include "coordinator/file_image.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <cstring>
#include <string>

#include "coordinator/group_writer.hpp"

namespace longrope::coordinator {

using storage::check_hdf5;
using storage::Hdf5File;
using storage::Hdf5PropertyList;

namespace {

constexpr std::size_t growth_bytes = 1U << 20U;

/// HDF5 takes in-memory files of one name for one file, so two under way need two names.
std::string unique_name(const Hdf5PropertyList& access) {
    return fmt::format("history image {}", access.get());
}

// HDF5's in-memory driver asks these for its memory, which is a vector of ours: so we keep the
// bytes as they are after the close. H5Fget_file_image, which exists for this, clears a flag in the
// superblock without renewing its checksum (1.10.8), and the result cannot be opened.

using Image = std::vector<std::byte>;

void* grow(void* /*bytes*/, std::size_t size, H5FD_file_image_op_t /*operation*/, void* image) {
    try {
        static_cast<Image*>(image)->resize(size);
        return static_cast<Image*>(image)->data();
    } catch (...) {
        return nullptr;  // an exception must not cross the C library
    }
}

void* allocate(std::size_t size, H5FD_file_image_op_t operation, void* image) {
    return grow(nullptr, size, operation, image);
}

void* copy_bytes(void* to, const void* from, std::size_t size, H5FD_file_image_op_t /*operation*/,
                 void* /*image*/) {
    return std::memcpy(to, from, size);
}

herr_t keep_bytes(void* /*bytes*/, H5FD_file_image_op_t /*operation*/, void* /*image*/) {
    return 0;
}

void* share(void* image) {
    return image;
}

herr_t unshare(void* /*image*/) {
    return 0;
}

/// HDF5 grows its memory in steps; superblock 2 holds the size of the file at byte 28 (HDF5 File
/// Format Specification, II.A).
void trim_to_file_size(Image& image) {
    constexpr std::size_t size_offset = 28;
    std::uint64_t size = 0;
    if (image.size() < size_offset + sizeof size) {
        throw storage::StorageError{"cannot build the file in memory: it has no superblock"};
    }
    std::memcpy(&size, image.data() + size_offset, sizeof size);
    if (size > image.size()) {
        throw storage::StorageError{fmt::format(
            "cannot build the file in memory: {} of {} bytes are there", image.size(), size)};
    }
    image.resize(size);
}

}  // namespace

std::vector<std::byte> build_file_image(const std::function<void(hid_t)>& fill) {
    Image image;
    const Hdf5PropertyList access{H5Pcreate(H5P_FILE_ACCESS), "create a property list"};
    H5FD_file_image_callbacks_t memory{&allocate, &copy_bytes, &grow, &keep_bytes,
                                       &share,    &unshare,    &image};
    check_hdf5(H5Pset_file_image_callbacks(access.get(), &memory), "build the file in memory");
    check_hdf5(H5Pset_fapl_core(access.get(), growth_bytes, false), "build the file in memory");
    check_hdf5(H5Pset_libver_bounds(access.get(), H5F_LIBVER_V18, H5F_LIBVER_V18),
               "choose the format of HDF5 1.8");
    Hdf5File file{H5Fcreate(unique_name(access).c_str(), H5F_ACC_TRUNC,
                            header_properties(H5P_FILE_CREATE).get(), access.get()),
                  "create a file in memory"};
    fill(file.get());
    file.close("close the file in memory");
    trim_to_file_size(image);
    return image;
}

Hdf5File open_file_image(std::span<const std::byte> image) {
    const Hdf5PropertyList access{H5Pcreate(H5P_FILE_ACCESS), "create a property list"};
    check_hdf5(H5Pset_fapl_core(access.get(), growth_bytes, false), "read the file in memory");
    // HDF5 only reads through the pointer; its declaration lacks the const.
    check_hdf5(H5Pset_file_image(access.get(), const_cast<std::byte*>(image.data()), image.size()),
               "read the file in memory");
    return {H5Fopen(unique_name(access).c_str(), H5F_ACC_RDONLY, access.get()), "open the file"};
}

}  // namespace longrope::coordinator
