// SPDX-License-Identifier: Apache-2.0
#include "tests/evaluator/parity_fixture.hpp"

#include <algorithm>
#include <stdexcept>

#include "storage/hdf5_handle.hpp"

namespace longrope::tests {
namespace {

using storage::check_hdf5;
using storage::Hdf5Attribute;
using storage::Hdf5Dataset;
using storage::Hdf5File;
using storage::Hdf5Group;
using storage::Hdf5Space;

std::vector<std::string> child_names(hid_t group) {
    H5G_info_t info{};
    check_hdf5(H5Gget_info(group, &info), "count a group's members");
    std::vector<std::string> names;
    for (hsize_t i = 0; i < info.nlinks; ++i) {
        char name[256] = {};
        const ssize_t length = H5Lget_name_by_idx(group, ".", H5_INDEX_NAME, H5_ITER_INC, i, name,
                                                  sizeof name, H5P_DEFAULT);
        if (length <= 0) throw std::runtime_error{"cannot read a member's name"};
        names.emplace_back(name);
    }
    return names;
}

template <class Value>
Value attribute(hid_t group, const char* name, hid_t type) {
    const Hdf5Attribute found{H5Aopen(group, name, H5P_DEFAULT), "open an attribute"};
    Value value{};
    check_hdf5(H5Aread(found.get(), type, &value), "read an attribute");
    return value;
}

struct Table {
    std::vector<hsize_t> shape;
    std::vector<double> values;
};

Table read_table(hid_t group, const std::string& name) {
    const Hdf5Dataset dataset{H5Dopen2(group, name.c_str(), H5P_DEFAULT), "open " + name};
    const Hdf5Space space{H5Dget_space(dataset.get()), "get the shape of " + name};
    Table table;
    table.shape.resize(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
    H5Sget_simple_extent_dims(space.get(), table.shape.data(), nullptr);
    table.values.resize(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get())));
    check_hdf5(H5Dread(dataset.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                       table.values.data()),
               "read " + name);
    return table;
}

RecordedMethod read_method(hid_t file, const std::string& name) {
    const Hdf5Group group{H5Gopen2(file, name.c_str(), H5P_DEFAULT), "open " + name};
    RecordedMethod method;
    method.name = name;
    method.factors = read_table(group.get(), "factors").values;
    method.attention_scale = attribute<double>(group.get(), "attention_scale", H5T_NATIVE_DOUBLE);
    method.start_tokens =
        static_cast<std::uint32_t>(attribute<int>(group.get(), "start_tokens", H5T_NATIVE_INT));
    for (const std::string& child : child_names(group.get())) {
        if (child == "factors") continue;
        method.positions = std::stoull(child);
        const Table nll = read_table(group.get(), child + "/nll");
        const std::size_t columns = nll.shape.at(1);
        for (std::size_t at = 0; at < nll.values.size(); at += columns) {
            std::vector<float> row(columns);
            std::transform(nll.values.begin() + static_cast<std::ptrdiff_t>(at),
                           nll.values.begin() + static_cast<std::ptrdiff_t>(at + columns),
                           row.begin(), [](double value) { return static_cast<float>(value); });
            method.token_nll.push_back(std::move(row));
        }
    }
    return method;
}

}  // namespace

std::vector<RecordedModel> recorded_models() {
    const std::filesystem::path root{LONGROPE_SOURCE_DIR};
    const std::filesystem::path folder = root / "tests/fixtures/parity";
    constexpr std::string_view ending = "_nll.h5";
    std::vector<RecordedModel> models;
    for (const auto& entry : std::filesystem::directory_iterator{folder}) {
        const std::string file_name = entry.path().filename().string();
        if (!file_name.ends_with(ending)) continue;
        RecordedModel model;
        model.name = file_name.substr(0, file_name.size() - ending.size());
        model.model = root / "tests/fixtures/models" / model.name;
        if (!exists(model.model)) model.model = root / "models" / model.name;
        model.documents = folder / (model.name + "_documents.h5");
        const Hdf5File file{H5Fopen(entry.path().c_str(), H5F_ACC_RDONLY, H5P_DEFAULT),
                            "open " + file_name};
        for (const std::string& method : child_names(file.get())) {
            model.methods.push_back(read_method(file.get(), method));
        }
        models.push_back(std::move(model));
    }
    return models;
}

}  // namespace longrope::tests
