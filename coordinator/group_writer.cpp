// SPDX-License-Identifier: Apache-2.0
#include "coordinator/group_writer.hpp"

#include <cstring>

namespace longrope::coordinator {

using storage::check_hdf5;
using storage::Hdf5Attribute;
using storage::Hdf5Dataset;
using storage::Hdf5Group;
using storage::Hdf5PropertyList;
using storage::Hdf5Space;
using storage::Hdf5Type;

namespace {

/// Texts side by side, each padded with NUL to the longest, as HDF5 holds them.
struct PackedTexts {
    std::size_t width = 1;
    std::vector<char> bytes;
};

PackedTexts pack(const std::vector<std::string>& texts) {
    PackedTexts packed;
    for (const std::string& text : texts) packed.width = std::max(packed.width, text.size());
    packed.bytes.resize(texts.size() * packed.width);
    for (std::size_t i = 0; i < texts.size(); ++i) {
        texts[i].copy(packed.bytes.data() + i * packed.width, texts[i].size());
    }
    return packed;
}

void write_raw_attribute(hid_t object, const std::string& name, const Hdf5Space& space, hid_t type,
                         const void* value) {
    const std::string action = "write attribute \"" + name + "\"";
    Hdf5Attribute attribute{
        H5Acreate2(object, name.c_str(), type, space.get(), H5P_DEFAULT, H5P_DEFAULT), action};
    check_hdf5(H5Awrite(attribute.get(), type, value), action);
    attribute.close(action);
}

}  // namespace

void write_number_attribute(hid_t object, const std::string& name, hid_t type, const void* value) {
    write_raw_attribute(object, name, Hdf5Space{H5Screate(H5S_SCALAR), "create a scalar"}, type,
                        value);
}

void write_attribute(hid_t object, const std::string& name, const std::string& text) {
    const Hdf5Type type = text_type(text.size());
    // c_str: an empty text is stored as one NUL
    write_number_attribute(object, name, type.get(), text.c_str());
}

void write_attribute(hid_t object, const std::string& name, const std::vector<std::string>& texts) {
    const PackedTexts packed = pack(texts);
    const Hdf5Type type = text_type(packed.width);
    const hsize_t count = texts.size();
    write_raw_attribute(object, name,
                        Hdf5Space{H5Screate_simple(1, &count, nullptr), "create a 1-D space"},
                        type.get(), packed.bytes.data());
}

Hdf5PropertyList header_properties(hid_t property_class) {
    Hdf5PropertyList properties{H5Pcreate(property_class), "create a property list"};
    check_hdf5(H5Pset_obj_track_times(properties.get(), false), "switch object times off");
    check_hdf5(H5Pset_attr_phase_change(properties.get(), 64, 32), "keep attributes compact");
    if (property_class != H5P_DATASET_CREATE) {
        check_hdf5(H5Pset_link_phase_change(properties.get(), 64, 32), "keep links compact");
    }
    return properties;
}

GroupWriter::GroupWriter(hid_t file)
    : group_{H5Gopen2(file, "/", H5P_DEFAULT), "open the root group"} {}

GroupWriter::GroupWriter(hid_t parent, const std::string& name)
    : group_{H5Gcreate2(parent, name.c_str(), H5P_DEFAULT,
                        header_properties(H5P_GROUP_CREATE).get(), H5P_DEFAULT),
             "create group \"" + name + "\""} {}

GroupWriter GroupWriter::group(const std::string& name) const {
    return {id(), name};
}

Hdf5Dataset GroupWriter::dataset(const std::string& name, const std::vector<std::string>& values,
                                 const DatasetText& text) const {
    const PackedTexts packed = pack(values);
    return raw_dataset(name, text_type(packed.width).get(), {values.size()}, packed.bytes.data(),
                       text);
}

Hdf5Dataset GroupWriter::raw_dataset(const std::string& name, hid_t type,
                                     const std::vector<hsize_t>& shape, const void* data,
                                     const DatasetText& text) const {
    const std::string action = "write dataset \"" + name + "\"";
    const Hdf5Space space{H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr),
                          action};
    const Hdf5PropertyList properties = header_properties(H5P_DATASET_CREATE);
    Hdf5Dataset dataset{H5Dcreate2(id(), name.c_str(), type, space.get(), H5P_DEFAULT,
                                   properties.get(), H5P_DEFAULT),
                        action};
    if (std::ranges::find(shape, hsize_t{0}) == shape.end()) {
        check_hdf5(H5Dwrite(dataset.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, data), action);
    }
    if (!text.units.empty()) write_attribute(dataset.get(), "units", text.units);
    write_attribute(dataset.get(), "long_name", text.long_name);
    write_attribute(dataset.get(), "description", text.description);
    return dataset;
}

}  // namespace longrope::coordinator
