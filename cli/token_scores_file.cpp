// SPDX-License-Identifier: Apache-2.0
#include "cli/token_scores_file.hpp"

#include <fmt/format.h>

#include <array>
#include <cstddef>
#include <limits>

#include "coordinator/atomic_file.hpp"
#include "coordinator/file_image.hpp"
#include "storage/hdf5_error.hpp"
#include "storage/hdf5_handle.hpp"

namespace longrope::cli {
namespace {

using storage::check_hdf5;
using storage::Hdf5Attribute;
using storage::Hdf5Dataset;
using storage::Hdf5Group;
using storage::Hdf5Space;

template <typename T>
void write_attribute(const Hdf5Group& group, const char* name, hid_t type, T value) {
    const Hdf5Space space{H5Screate(H5S_SCALAR), "create a scalar space"};
    const Hdf5Attribute attribute{
        H5Acreate2(group.get(), name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT),
        fmt::format("create attribute {}", name)};
    check_hdf5(H5Awrite(attribute.get(), type, &value), fmt::format("write attribute {}", name));
}

Hdf5Group method_group(hid_t file, const TokenScoresBlock& block) {
    const std::string action = fmt::format("create group /{}", block.method);
    if (H5Lexists(file, block.method.c_str(), H5P_DEFAULT) > 0) {
        return {H5Gopen2(file, block.method.c_str(), H5P_DEFAULT), action};
    }
    Hdf5Group group{H5Gcreate2(file, block.method.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                    action};
    const std::array<hsize_t, 1> shape{block.factors.size()};
    const Hdf5Space space{H5Screate_simple(1, shape.data(), nullptr), "create a space"};
    const Hdf5Dataset factors{H5Dcreate2(group.get(), "factors", H5T_IEEE_F64LE, space.get(),
                                         H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                              "create factors"};
    check_hdf5(H5Dwrite(factors.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT,
                        block.factors.data()),
               "write factors");
    write_attribute(group, "attention_scale", H5T_NATIVE_DOUBLE, block.attention_scale);
    write_attribute(group, "start_tokens", H5T_NATIVE_UINT32, block.start_tokens);
    return group;
}

void write_block(hid_t file, const TokenScoresBlock& block) {
    const Hdf5Group method = method_group(file, block);
    const std::string length = std::to_string(block.tokens);
    const Hdf5Group group{
        H5Gcreate2(method.get(), length.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
        fmt::format("create group /{}/{}", block.method, length)};
    const std::array<hsize_t, 2> shape{block.nll.size(), block.tokens - 1};
    std::vector<float> values;
    values.reserve(shape[0] * shape[1]);
    for (const auto& document : block.nll) {
        values.insert(values.end(), document.begin(), document.end());
        // Of one that could not be scored there are none; the others keep their rows.
        values.resize(values.size() + shape[1] - document.size(),
                      std::numeric_limits<float>::quiet_NaN());
    }
    const Hdf5Space space{H5Screate_simple(2, shape.data(), nullptr), "create a space"};
    const Hdf5Dataset nll{H5Dcreate2(group.get(), "nll", H5T_IEEE_F32LE, space.get(), H5P_DEFAULT,
                                     H5P_DEFAULT, H5P_DEFAULT),
                          "create nll"};
    check_hdf5(H5Dwrite(nll.get(), H5T_NATIVE_FLOAT, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
               fmt::format("write /{}/{}/nll", block.method, length));
}

}  // namespace

void write_token_scores(const std::filesystem::path& file,
                        const std::vector<TokenScoresBlock>& blocks) {
    const storage::QuietHdf5 quiet;  // the message says it
    const std::vector<std::byte> image = coordinator::build_file_image([&blocks](hid_t out) {
        for (const TokenScoresBlock& block : blocks) write_block(out, block);
    });
    coordinator::write_file_atomically(file, image);
}

}  // namespace longrope::cli
