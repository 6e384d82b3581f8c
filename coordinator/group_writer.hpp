// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <hdf5.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "coordinator/history_layout.hpp"
#include "coordinator/stored_type.hpp"
#include "storage/hdf5_handle.hpp"

namespace longrope::coordinator {

void write_attribute(hid_t object, const std::string& name, const std::string& text);
void write_attribute(hid_t object, const std::string& name, const std::vector<std::string>& texts);
template <StoredNumber Value>
void write_attribute(hid_t object, const std::string& name, Value value);

/// What a reader of a dataset wants to know; the attributes units, long_name and description.
struct DatasetText {
    std::string units;
    std::string long_name;
    std::string description;
};

/// One group of a history under construction. Headers carry no times, and links and attributes
/// stay in them, so that equal content gives equal bytes.
/// @throws storage::StorageError from every function, naming what could not be written
class GroupWriter {
public:
    /// The root group of `file`, which must outlive this.
    explicit GroupWriter(hid_t file);
    [[nodiscard]] GroupWriter group(const std::string& name) const;
    [[nodiscard]] hid_t id() const noexcept { return group_.get(); }

    template <typename Value>
    void attribute(const std::string& name, const Value& value) const {
        write_attribute(id(), name, value);
    }
    /// All fields of `record` as attributes, enumerations with a legend `<field>_legend`.
    template <typename Record>
    void record(const Record& record) const;

    /// @param values  row-major, as many as `shape` says
    template <StoredNumber Value>
    storage::Hdf5Dataset dataset(const std::string& name, const std::vector<hsize_t>& shape,
                                 const std::vector<Value>& values, const DatasetText& text) const {
        return raw_dataset(name, stored_type<Value>(), shape, values.data(), text);
    }
    storage::Hdf5Dataset dataset(const std::string& name, const std::vector<std::string>& values,
                                 const DatasetText& text) const;
    /// 1-D compound, one member per field; text members are as wide as their longest value.
    template <typename Row>
    storage::Hdf5Dataset table(const std::string& name, const std::vector<Row>& rows,
                               const DatasetText& text) const;

private:
    GroupWriter(hid_t parent, const std::string& name);
    storage::Hdf5Dataset raw_dataset(const std::string& name, hid_t type,
                                     const std::vector<hsize_t>& shape, const void* data,
                                     const DatasetText& text) const;

    storage::Hdf5Group group_;
};

/// Properties of object headers: no times, attributes and links compact.
[[nodiscard]] storage::Hdf5PropertyList header_properties(hid_t property_class);

void write_number_attribute(hid_t object, const std::string& name, hid_t type, const void* value);

template <StoredNumber Value>
void write_attribute(hid_t object, const std::string& name, Value value) {
    write_number_attribute(object, name, stored_type<Value>(), &value);
}

/// `<field>_legend`, or `legend`: the names of an enumeration's values by their number.
template <typename Enum>
void write_legend(hid_t object, const std::string& name) {
    write_attribute(object, name,
                    std::vector<std::string>(legend<Enum>.begin(), legend<Enum>.end()));
}

template <typename Record>
void GroupWriter::record(const Record& record) const {
    for_each_field<Record>([&](const auto& field) {
        using Value = std::remove_cvref_t<decltype(record.*field.member)>;
        attribute(field.name, record.*field.member);
        if constexpr (std::is_enum_v<Value>) {
            write_legend<Value>(id(), std::string{field.name} + "_legend");
        }
    });
}

template <typename Row>
storage::Hdf5Dataset GroupWriter::table(const std::string& name, const std::vector<Row>& rows,
                                        const DatasetText& text) const {
    std::vector<std::size_t> widths;
    std::size_t row_bytes = 0;
    for_each_field<Row>([&](const auto& field) {
        using Value = std::remove_cvref_t<decltype(std::declval<Row>().*field.member)>;
        std::size_t width = sizeof(Value);
        if constexpr (std::is_same_v<Value, std::string>) {
            width = 1;
            for (const Row& row : rows) width = std::max(width, (row.*field.member).size());
        }
        widths.push_back(width);
        row_bytes += width;
    });

    const storage::Hdf5Type type{H5Tcreate(H5T_COMPOUND, row_bytes), "create the type of " + name};
    std::vector<std::byte> packed(rows.size() * row_bytes);
    std::vector<std::string> units;
    std::vector<std::string> descriptions;
    std::size_t column = 0;
    std::size_t offset = 0;
    for_each_field<Row>([&](const auto& field) {
        using Value = std::remove_cvref_t<decltype(std::declval<Row>().*field.member)>;
        const std::size_t width = widths[column++];
        std::byte* to = packed.data() + offset;
        if constexpr (std::is_same_v<Value, std::string>) {
            const storage::Hdf5Type member = text_type(width);
            storage::check_hdf5(H5Tinsert(type.get(), field.name, offset, member.get()),
                                "add a member to the type of " + name);
            for (const Row& row : rows) {
                const std::string& value = row.*field.member;
                std::memcpy(to, value.data(), value.size());
                to += row_bytes;
            }
        } else {
            storage::check_hdf5(H5Tinsert(type.get(), field.name, offset, stored_type<Value>()),
                                "add a member to the type of " + name);
            for (const Row& row : rows) {
                std::memcpy(to, &(row.*field.member), sizeof(Value));
                to += row_bytes;
            }
        }
        offset += width;
        units.emplace_back(field.unit);
        descriptions.emplace_back(field.description);
    });

    storage::Hdf5Dataset dataset =
        raw_dataset(name, type.get(), {rows.size()}, packed.data(), text);
    write_attribute(dataset.get(), "column_units", units);
    write_attribute(dataset.get(), "column_descriptions", descriptions);
    for_each_field<Row>([&](const auto& field) {
        using Value = std::remove_cvref_t<decltype(std::declval<Row>().*field.member)>;
        if constexpr (std::is_enum_v<Value>) {
            write_legend<Value>(dataset.get(), std::string{field.name} + "_legend");
        }
    });
    return dataset;
}

}  // namespace longrope::coordinator
