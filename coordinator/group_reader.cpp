// SPDX-License-Identifier: Apache-2.0
#include "coordinator/group_reader.hpp"

#include <algorithm>
#include <limits>

#include "storage/type_name.hpp"

namespace longrope::coordinator {

using storage::check_hdf5;
using storage::Hdf5Attribute;
using storage::Hdf5Dataset;
using storage::Hdf5Group;
using storage::Hdf5Space;
using storage::Hdf5Type;
using storage::type_name;

namespace {

herr_t append_attribute_name(hid_t /*object*/, const char* name, const H5A_info_t* /*info*/,
                             void* names) {
    try {
        static_cast<std::vector<std::string>*>(names)->emplace_back(name);
        return 0;
    } catch (...) {
        return -1;  // an exception must not cross the C library
    }
}

herr_t append_group_name(hid_t group, const char* name, const H5L_info_t* /*info*/, void* names) {
    try {
        H5O_info_t info;
        if (H5Oget_info_by_name2(group, name, &info, H5O_INFO_BASIC, H5P_DEFAULT) < 0) return -1;
        if (info.type == H5O_TYPE_GROUP) {
            static_cast<std::vector<std::string>*>(names)->emplace_back(name);
        }
        return 0;
    } catch (...) {
        return -1;
    }
}

}  // namespace

std::string unpad(const char* bytes, std::size_t width) {
    return {bytes, static_cast<std::size_t>(std::find(bytes, bytes + width, '\0') - bytes)};
}

GroupReader::GroupReader(hid_t file, std::string file_name, std::size_t file_bytes)
    : file_name_{std::move(file_name)},
      file_bytes_{file_bytes},
      group_{H5Gopen2(file, "/", H5P_DEFAULT), "open the root group"} {}

GroupReader::GroupReader(const GroupReader& parent, const std::string& name)
    : file_name_{parent.file_name_},
      file_bytes_{parent.file_bytes_},
      path_{parent.path_of(name)},
      group_{H5Gopen2(parent.group_.get(), name.c_str(), H5P_DEFAULT), "open group " + path_} {}

GroupReader GroupReader::group(const std::string& name) const {
    if (check_hdf5(H5Lexists(group_.get(), name.c_str(), H5P_DEFAULT), "look for " + name) == 0) {
        refuse(name, "nothing", "a group");
    }
    return {*this, name};
}

std::string GroupReader::path_of(const std::string& name) const {
    return path_ + "/" + name;
}

void GroupReader::refuse(const std::string& name, const std::string& found,
                         const std::string& expected) const {
    throw HistoryError{
        fmt::format("{}: {}: found {}, expected {}", file_name_, path_of(name), found, expected)};
}

std::vector<std::string> GroupReader::group_names() const {
    std::vector<std::string> names;
    hsize_t start = 0;
    check_hdf5(
        H5Literate(group_.get(), H5_INDEX_NAME, H5_ITER_INC, &start, &append_group_name, &names),
        "list the groups of " + path_of(""));
    return names;
}

std::vector<std::string> GroupReader::attribute_names() const {
    std::vector<std::string> names;
    hsize_t start = 0;
    check_hdf5(H5Aiterate2(group_.get(), H5_INDEX_NAME, H5_ITER_INC, &start, &append_attribute_name,
                           &names),
               "list the attributes of " + path_of(""));
    return names;
}

bool GroupReader::has_attribute(const std::string& name) const {
    return check_hdf5(H5Aexists(group_.get(), name.c_str()), "look for attribute " + name) > 0;
}

std::string GroupReader::text_attribute(const std::string& name) const {
    if (!has_attribute(name)) refuse("@" + name, "nothing", "a text attribute");
    const std::string action = "read attribute " + path_of("@" + name);
    const Hdf5Attribute attribute{H5Aopen(group_.get(), name.c_str(), H5P_DEFAULT), action};
    const Hdf5Type type{H5Aget_type(attribute.get()), action};
    const Hdf5Space space{H5Aget_space(attribute.get()), action};
    require_text("@" + name, type.get());
    if (H5Sget_simple_extent_type(space.get()) != H5S_SCALAR) {
        refuse("@" + name, "an array", "a single text");
    }
    std::vector<char> bytes(H5Tget_size(type.get()));
    check_hdf5(H5Aread(attribute.get(), type.get(), bytes.data()), action);
    return unpad(bytes.data(), bytes.size());
}

void GroupReader::read_number_attribute(const std::string& name, hid_t type, void* to) const {
    if (!has_attribute(name)) refuse("@" + name, "nothing", "an attribute of " + type_name(type));
    const std::string action = "read attribute " + path_of("@" + name);
    const Hdf5Attribute attribute{H5Aopen(group_.get(), name.c_str(), H5P_DEFAULT), action};
    const Hdf5Type found{H5Aget_type(attribute.get()), action};
    const Hdf5Space space{H5Aget_space(attribute.get()), action};
    require_number("@" + name, found.get(), type);
    if (H5Sget_simple_extent_type(space.get()) != H5S_SCALAR) {
        refuse("@" + name, "an array", "a single " + type_name(type));
    }
    check_hdf5(H5Aread(attribute.get(), type, to), action);
}

void GroupReader::require_number(const std::string& what, hid_t found, hid_t expected) const {
    if (check_hdf5(H5Tequal(found, expected), "compare types") > 0) return;
    refuse(what, type_name(found), type_name(expected) + ", little-endian");
}

void GroupReader::require_text(const std::string& what, hid_t found) const {
    const bool fixed = H5Tget_class(found) == H5T_STRING && H5Tis_variable_str(found) == 0;
    if (!fixed) refuse(what, type_name(found), "fixed-length text");
    if (H5Tget_size(found) > file_bytes_) {
        refuse(what, type_name(found), fmt::format("at most the file's {} bytes", file_bytes_));
    }
}

void GroupReader::require_compound(const std::string& what, hid_t found) const {
    if (H5Tget_class(found) != H5T_COMPOUND)
        refuse(what, type_name(found), "a compound of scalars");
}

Hdf5Type GroupReader::column(const Opened& opened, const std::string& table,
                             const char* name) const {
    const int index = H5Tget_member_index(opened.type.get(), name);
    if (index < 0) refuse(table, "no column \"" + std::string{name} + "\"", "one");
    return {H5Tget_member_type(opened.type.get(), static_cast<unsigned>(index)),
            "read the type of " + path_of(table) + "." + name};
}

GroupReader::Opened GroupReader::open(const std::string& name, int rank) const {
    if (check_hdf5(H5Lexists(group_.get(), name.c_str(), H5P_DEFAULT), "look for " + name) == 0) {
        refuse(name, "nothing", "a dataset");
    }
    const std::string action = "open dataset " + path_of(name);
    Hdf5Dataset dataset{H5Dopen2(group_.get(), name.c_str(), H5P_DEFAULT), action};
    Hdf5Type type{H5Dget_type(dataset.get()), action};
    const Hdf5Space space{H5Dget_space(dataset.get()), action};
    const int found_rank = check_hdf5(H5Sget_simple_extent_ndims(space.get()), action);
    if (found_rank != rank) {
        refuse(name, fmt::format("{} dimensions", found_rank), fmt::format("{}", rank));
    }
    std::vector<hsize_t> shape(static_cast<std::size_t>(rank));
    check_hdf5(H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr), action);
    // Histories are stored uncompressed: a shape that needs more bytes than the file has is damage.
    std::size_t elements = 1;
    const std::size_t limit = file_bytes_ / std::max<std::size_t>(H5Tget_size(type.get()), 1);
    const bool empty = std::ranges::find(shape, hsize_t{0}) != shape.end();
    for (const hsize_t size : shape) {
        if (!empty && size > limit / elements) {
            refuse(name, fmt::format("shape [{}]", fmt::join(shape, ", ")),
                   fmt::format("at most the file's {} bytes", file_bytes_));
        }
        if (size > std::numeric_limits<std::uint32_t>::max()) {
            refuse(name, fmt::format("shape [{}]", fmt::join(shape, ", ")), "sizes below 2^32");
        }
        elements *= empty ? 0 : size;
    }
    return {std::move(dataset), std::move(type), std::move(shape), empty ? 0 : elements};
}

void GroupReader::read(const Opened& opened, const std::string& name, hid_t type, void* to) const {
    if (opened.elements == 0) return;
    check_hdf5(H5Dread(opened.dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, to),
               "read dataset " + path_of(name));
}

std::vector<std::string> GroupReader::texts(const std::string& name) const {
    const Opened opened = open(name, 1);
    require_text(name, opened.type.get());
    const std::size_t width = H5Tget_size(opened.type.get());
    std::vector<char> packed(opened.elements * width);
    read(opened, name, opened.type.get(), packed.data());
    std::vector<std::string> texts;
    for (std::size_t i = 0; i < opened.elements; ++i) {
        texts.push_back(unpad(packed.data() + i * width, width));
    }
    return texts;
}

}  // namespace longrope::coordinator
