// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <hdf5.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "coordinator/history.hpp"
#include "coordinator/history_layout.hpp"
#include "coordinator/stored_type.hpp"
#include "storage/hdf5_handle.hpp"

namespace longrope::coordinator {

/// Values of a dataset, row-major, and its shape.
template <typename Value>
struct StoredArray {
    std::vector<hsize_t> shape;
    std::vector<Value> values;
};

/// One group of a history being read. Types and shapes are compared with what the format says, and
/// sizes with what the file can hold, before anything is allocated.
/// @throws HistoryError from every function: "<file>: <path>: found …, expected …"
/// @throws storage::StorageError where HDF5 itself fails
class GroupReader {
public:
    /// @param file_bytes  size of the file: no dataset can be larger
    GroupReader(hid_t file, std::string file_name, std::size_t file_bytes);
    [[nodiscard]] GroupReader group(const std::string& name) const;

    [[nodiscard]] std::vector<std::string> group_names() const;      ///< sorted
    [[nodiscard]] std::vector<std::string> attribute_names() const;  ///< sorted
    [[nodiscard]] bool has_attribute(const std::string& name) const;

    [[nodiscard]] std::string text_attribute(const std::string& name) const;
    template <StoredNumber Value>
    [[nodiscard]] Value number_attribute(const std::string& name) const;
    /// Fills the fields of `record` that a format version has from the attributes that
    /// GroupWriter::record wrote.
    template <typename Record>
    void record(Record& record, std::uint32_t version) const;

    template <StoredNumber Value>
    [[nodiscard]] StoredArray<Value> array(const std::string& name, int rank) const;
    [[nodiscard]] std::vector<std::string> texts(const std::string& name) const;
    /// Rows with the columns that a format version has.
    template <typename Row>
    [[nodiscard]] std::vector<Row> table(const std::string& name, std::uint32_t version) const;

    /// @throws HistoryError "<file>: <path of name>: found <found>, expected <expected>"
    [[noreturn]] void refuse(const std::string& name, const std::string& found,
                             const std::string& expected) const;

private:
    /// An opened dataset whose shape was checked.
    struct Opened {
        storage::Hdf5Dataset dataset;
        storage::Hdf5Type type;
        std::vector<hsize_t> shape;
        std::size_t elements;
    };

    GroupReader(const GroupReader& parent, const std::string& name);
    [[nodiscard]] std::string path_of(const std::string& name) const;
    [[nodiscard]] Opened open(const std::string& name, int rank) const;
    void read(const Opened& opened, const std::string& name, hid_t type, void* to) const;
    void require_number(const std::string& what, hid_t found, hid_t expected) const;
    void require_text(const std::string& what, hid_t found) const;
    void require_compound(const std::string& what, hid_t found) const;
    /// The type of a table's column; refuses if there is none of that name.
    [[nodiscard]] storage::Hdf5Type column(const Opened& opened, const std::string& table,
                                           const char* name) const;
    void read_number_attribute(const std::string& name, hid_t type, void* to) const;
    template <typename Value>
    void require_value(const std::string& what, Value value) const;

    std::string file_name_;
    std::size_t file_bytes_;
    std::string path_;  ///< "" for the root
    storage::Hdf5Group group_;
};

/// The text in `bytes` without the padding.
[[nodiscard]] std::string unpad(const char* bytes, std::size_t width);

/// Enumerations and bool must hold a value that has a name.
template <typename Value>
void GroupReader::require_value(const std::string& what, Value value) const {
    if constexpr (std::is_enum_v<Value>) {
        if (static_cast<std::size_t>(value) >= legend<Value>.size()) {
            refuse(what, fmt::format("value {}", static_cast<unsigned>(value)),
                   fmt::format("0 to {} ({})", legend<Value>.size() - 1,
                               fmt::join(legend<Value>, ", ")));
        }
    }
}

template <StoredNumber Value>
Value GroupReader::number_attribute(const std::string& name) const {
    if constexpr (std::is_same_v<Value, bool>) {
        const auto stored = number_attribute<std::uint8_t>(name);
        if (stored > 1) refuse("@" + name, fmt::format("value {}", stored), "0 or 1");
        return stored != 0;
    } else {
        Value value{};
        read_number_attribute(name, stored_type<Value>(), &value);
        require_value("@" + name, value);
        return value;
    }
}

template <typename Record>
void GroupReader::record(Record& record, std::uint32_t version) const {
    const auto read = [&](const auto& field) {
        using Value = std::remove_cvref_t<decltype(record.*field.member)>;
        if constexpr (std::is_same_v<Value, std::string>) {
            record.*field.member = text_attribute(field.name);
        } else {
            record.*field.member = number_attribute<Value>(field.name);
        }
    };
    for_each_field<Record>(read, version);
}

template <StoredNumber Value>
StoredArray<Value> GroupReader::array(const std::string& name, int rank) const {
    const Opened opened = open(name, rank);
    require_number(name, opened.type.get(), stored_type<Value>());
    StoredArray<Value> array{opened.shape, std::vector<Value>(opened.elements)};
    read(opened, name, stored_type<Value>(), array.values.data());
    if constexpr (std::is_enum_v<Value>) {
        for (const Value value : array.values) require_value(name, value);
    }
    return array;
}

template <typename Row>
std::vector<Row> GroupReader::table(const std::string& name, std::uint32_t version) const {
    const Opened opened = open(name, 1);
    require_compound(name, opened.type.get());
    std::vector<std::size_t> widths;
    std::size_t row_bytes = 0;
    const auto measure = [&](const auto& field) {
        using Value = std::remove_cvref_t<decltype(std::declval<Row>().*field.member)>;
        const storage::Hdf5Type found = column(opened, name, field.name);
        if constexpr (std::is_same_v<Value, std::string>) {
            require_text(name + "." + field.name, found.get());
        } else {
            require_number(name + "." + field.name, found.get(), stored_type<Value>());
        }
        widths.push_back(H5Tget_size(found.get()));
        row_bytes += widths.back();
    };
    for_each_field<Row>(measure, version);

    const storage::Hdf5Type type{H5Tcreate(H5T_COMPOUND, row_bytes), "create the type of " + name};
    std::size_t column_index = 0;
    std::size_t offset = 0;
    const auto insert = [&](const auto& field) {
        const storage::Hdf5Type member = column(opened, name, field.name);
        storage::check_hdf5(H5Tinsert(type.get(), field.name, offset, member.get()),
                            "add a member to the type of " + name);
        offset += widths[column_index++];
    };
    for_each_field<Row>(insert, version);
    std::vector<char> packed(opened.elements * row_bytes);
    read(opened, name, type.get(), packed.data());

    std::vector<Row> rows(opened.elements);
    column_index = 0;
    offset = 0;
    const auto copy = [&](const auto& field) {
        using Value = std::remove_cvref_t<decltype(std::declval<Row>().*field.member)>;
        const std::size_t width = widths[column_index++];
        const char* from = packed.data() + offset;
        for (Row& row : rows) {
            if constexpr (std::is_same_v<Value, std::string>) {
                row.*field.member = unpad(from, width);
            } else {
                std::memcpy(&(row.*field.member), from, sizeof(Value));
                require_value(name + "." + field.name, row.*field.member);
            }
            from += row_bytes;
        }
        offset += width;
    };
    for_each_field<Row>(copy, version);
    return rows;
}

}  // namespace longrope::coordinator
