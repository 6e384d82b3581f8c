// SPDX-License-Identifier: Apache-2.0
#include "evaluator/documents_reader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <fstream>
#include <span>
#include <system_error>
#include <type_traits>
#include <utility>

#include "evaluator/evaluator.hpp"
#include "evaluator/input_file.hpp"
#include "storage/type_name.hpp"
#include "storage/unreadable_file.hpp"

namespace longrope::evaluator {

namespace {

using storage::check_hdf5;
using storage::Hdf5Attribute;
using storage::Hdf5Dataset;
using storage::Hdf5File;
using storage::Hdf5PropertyList;
using storage::Hdf5Space;
using storage::Hdf5Type;

constexpr std::size_t longest_text = 4096;
// Deflate, HDF5's filter, shrinks at most 1032 times: a dataset that claims more is damaged, and
// its memory must not be allocated.
constexpr std::uintmax_t largest_compression = 1032;

/// What a file that HDF5 does not open is, rather than where HDF5 stumbled.
std::string found_instead(const std::filesystem::path& path, std::uintmax_t file_bytes) {
    std::array<char, storage::superblock_bytes> head{};
    std::ifstream stream{path, std::ios::binary};
    stream.read(head.data(), head.size());
    if (stream.bad() || !stream.is_open()) {
        return fmt::format("cannot be read: {}", std::generic_category().message(errno));
    }
    const auto filled = static_cast<std::size_t>(stream.gcount());
    return storage::describe_unreadable(std::as_bytes(std::span{head}).first(filled), file_bytes);
}

Hdf5File open(const std::filesystem::path& path, std::uintmax_t file_bytes) {
    const Hdf5PropertyList access{H5Pcreate(H5P_FILE_ACCESS), "create a property list"};
    // Read by every evaluator at once, often on file systems without locks.
    check_hdf5(H5Pset_file_locking(access.get(), false, true), "switch file locks off");
    const hid_t opened = H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get());
    if (opened < 0) {
        throw EvaluatorError{fmt::format("{}: {}, expected a documents file (HDF5): {}",
                                         path.string(), found_instead(path, file_bytes),
                                         documents_remedy)};
    }
    return Hdf5File{opened, "open the documents"};
}

bool is_fixed_text(const Hdf5Type& type) {
    return H5Tget_class(type.get()) == H5T_STRING && H5Tis_variable_str(type.get()) == 0;
}

std::string without_padding(std::string text, const Hdf5Type& type) {
    text.erase(std::min(text.find('\0'), text.size()));
    if (H5Tget_strpad(type.get()) == H5T_STR_SPACEPAD) {
        while (text.ends_with(' ')) text.pop_back();
    }
    return text;
}

void read(const Hdf5Dataset& dataset, hid_t type, void* values, const char* name) {
    check_hdf5(H5Dread(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, values),
               fmt::format("read dataset {}", name));
}

}  // namespace

DocumentsReader::DocumentsReader(const std::filesystem::path& path)
    : path_{path.string()},
      file_bytes_{
          size_of_input(path, fmt::format("a documents file (HDF5): {}", documents_remedy))},
      file_{open(path, file_bytes_)} {}

std::vector<std::int32_t> DocumentsReader::int32_list(const char* name) const {
    return integers<std::int32_t>(name, H5T_NATIVE_INT32, "int32");
}

std::vector<std::int64_t> DocumentsReader::int64_list(const char* name) const {
    return integers<std::int64_t>(name, H5T_NATIVE_INT64, "int64");
}

std::vector<std::uint8_t> DocumentsReader::uint8_list(const char* name) const {
    return integers<std::uint8_t>(name, H5T_NATIVE_UINT8, "uint8");
}

template <typename Value>
std::vector<Value> DocumentsReader::integers(const char* name, hid_t native,
                                             const char* expected) const {
    constexpr H5T_sign_t sign = std::is_signed_v<Value> ? H5T_SGN_2 : H5T_SGN_NONE;
    const Hdf5Dataset dataset = open_dataset(name);
    const Hdf5Type type{H5Dget_type(dataset.get()), fmt::format("read the type of {}", name)};
    if (H5Tget_class(type.get()) != H5T_INTEGER || H5Tget_size(type.get()) != sizeof(Value) ||
        H5Tget_sign(type.get()) != sign) {
        refuse(fmt::format("dataset {} has type {}, expected {}", name,
                           storage::type_name(type.get()), expected));
    }
    std::vector<Value> values(length(dataset, name, sizeof(Value)));
    read(dataset, native, values.data(), name);
    return values;
}

std::vector<std::string> DocumentsReader::text_list(const char* name) const {
    const Hdf5Dataset dataset = open_dataset(name);
    const Hdf5Type type{H5Dget_type(dataset.get()), fmt::format("read the type of {}", name)};
    if (!is_fixed_text(type)) {
        refuse(fmt::format("dataset {} has type {}, expected fixed-length UTF-8", name,
                           storage::type_name(type.get())));
    }
    const std::size_t width = H5Tget_size(type.get());
    if (width == 0 || width > longest_text) {
        refuse(fmt::format("dataset {} has strings of {} bytes, expected 1 to {}", name, width,
                           longest_text));
    }
    std::vector<char> text(length(dataset, name, width) * width);
    read(dataset, type.get(), text.data(), name);
    std::vector<std::string> values;
    for (std::size_t begin = 0; begin < text.size(); begin += width) {
        values.push_back(without_padding({text.data() + begin, width}, type));
    }
    return values;
}

std::int64_t DocumentsReader::integer_attribute(const char* name) const {
    const std::string intent = fmt::format("read attribute {}", name);
    if (check_hdf5(H5Aexists(file_.get(), name), intent) == 0) {
        refuse(fmt::format("attribute {} is missing, expected an integer", name));
    }
    const Hdf5Attribute attribute{H5Aopen(file_.get(), name, H5P_DEFAULT), intent};
    const Hdf5Type type{H5Aget_type(attribute.get()), intent};
    const Hdf5Space space{H5Aget_space(attribute.get()), intent};
    if (H5Tget_class(type.get()) != H5T_INTEGER || H5Sget_simple_extent_npoints(space.get()) != 1) {
        refuse(fmt::format("attribute {} has {} values of type {}, expected one integer", name,
                           H5Sget_simple_extent_npoints(space.get()),
                           storage::type_name(type.get())));
    }
    std::int64_t value = 0;
    check_hdf5(H5Aread(attribute.get(), H5T_NATIVE_INT64, &value), intent);
    return value;
}

std::optional<std::string> DocumentsReader::text_attribute(const char* name) const {
    const std::string intent = fmt::format("read attribute {}", name);
    if (check_hdf5(H5Aexists(file_.get(), name), intent) == 0) return std::nullopt;
    const Hdf5Attribute attribute{H5Aopen(file_.get(), name, H5P_DEFAULT), intent};
    const Hdf5Type type{H5Aget_type(attribute.get()), intent};
    const Hdf5Space space{H5Aget_space(attribute.get()), intent};
    const std::size_t width = H5Tget_size(type.get());
    if (!is_fixed_text(type) || width > longest_text ||
        H5Sget_simple_extent_npoints(space.get()) != 1) {
        refuse(fmt::format(
            "attribute {} has {} values of type {}, expected one fixed-length text of at most {} "
            "bytes",
            name, H5Sget_simple_extent_npoints(space.get()), storage::type_name(type.get()),
            longest_text));
    }
    std::string value(width, '\0');
    check_hdf5(H5Aread(attribute.get(), type.get(), value.data()), intent);
    return without_padding(std::move(value), type);
}

void DocumentsReader::refuse(const std::string& what) const {
    throw EvaluatorError{fmt::format("{}: {}; {}", path_, what, documents_remedy)};
}

Hdf5Dataset DocumentsReader::open_dataset(const char* name) const {
    if (H5Lexists(file_.get(), name, H5P_DEFAULT) <= 0) {
        refuse(fmt::format(
            "dataset {} is missing, expected the datasets tokens, offsets, titles and split",
            name));
    }
    return {H5Dopen2(file_.get(), name, H5P_DEFAULT), fmt::format("open dataset {}", name)};
}

std::size_t DocumentsReader::length(const Hdf5Dataset& dataset, const char* name,
                                    std::size_t element_bytes) const {
    const std::string intent = fmt::format("read the shape of {}", name);
    const Hdf5Space space{H5Dget_space(dataset.get()), intent};
    const int dimensions = H5Sget_simple_extent_ndims(space.get());
    if (dimensions != 1) {
        refuse(fmt::format("dataset {} has {} dimensions, expected 1", name, dimensions));
    }
    hsize_t count = 0;
    check_hdf5(H5Sget_simple_extent_dims(space.get(), &count, nullptr), intent);
    if (count > file_bytes_ * largest_compression / element_bytes) {
        refuse(fmt::format("dataset {} claims {} values of {} bytes, but the file has {} bytes",
                           name, count, element_bytes, file_bytes_));
    }
    // HDF5 1.10 reads beyond what is stored of a compact dataset that claims more.
    const Hdf5PropertyList creation{H5Dget_create_plist(dataset.get()), intent};
    const hsize_t stored = H5Dget_storage_size(dataset.get());
    if (H5Pget_layout(creation.get()) != H5D_CHUNKED && stored < count * element_bytes) {
        refuse(fmt::format("dataset {} claims {} values of {} bytes, but {} bytes are stored", name,
                           count, element_bytes, stored));
    }
    return static_cast<std::size_t>(count);
}

}  // namespace longrope::evaluator
