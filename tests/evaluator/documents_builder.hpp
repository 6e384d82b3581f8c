// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/hdf5_handle.hpp"

namespace longrope::tests {

/// Writes a documents file, well-formed unless a member says otherwise. A list without values
/// leaves its dataset out.
struct DocumentsBuilder {
    std::vector<std::int32_t> tokens{5, 6, 7, 8, 9, 10};
    std::vector<std::int64_t> offsets{0, 3, 5, 6};
    std::vector<std::string> titles{"Emma 1/1", "Persuasion 1/2", "Gr\xC3\xBC\xC3\x9F 2/2"};
    std::vector<std::uint8_t> splits{0, 2, 1};
    std::optional<std::int64_t> format_version = 1;
    std::optional<std::int64_t> bos_token_id = 0;
    std::string tokens_sha256;              ///< empty: no attribute
    hid_t stored_tokens = H5T_STD_I32LE;    ///< type in the file
    hid_t stored_offsets = H5T_STD_I64LE;   ///< type in the file
    bool tokens_as_matrix = false;          ///< two dimensions
    std::size_t title_bytes = 16;           ///< 0: of variable length
    std::optional<hsize_t> claimed_tokens;  ///< a length that is not stored

    void write(const std::filesystem::path& path) const {
        using storage::Hdf5File;
        using storage::Hdf5Type;
        const Hdf5File file{H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT),
                            "create the test's documents"};
        write_tokens(file);
        write_list(file, "offsets", stored_offsets, H5T_NATIVE_INT64, offsets);
        write_list(file, "split", H5T_STD_U8LE, H5T_NATIVE_UINT8, splits);
        write_titles(file);
        write_number(file, "format_version", format_version);
        write_number(file, "bos_token_id", bos_token_id);
        if (!tokens_sha256.empty()) {
            const Hdf5Type type = text_type(tokens_sha256.size());
            const storage::Hdf5Space scalar{H5Screate(H5S_SCALAR), "create a space"};
            const storage::Hdf5Attribute attribute{
                H5Acreate2(file.get(), "tokens_sha256", type.get(), scalar.get(), H5P_DEFAULT,
                           H5P_DEFAULT),
                "create an attribute"};
            storage::check_hdf5(H5Awrite(attribute.get(), type.get(), tokens_sha256.data()),
                                "write an attribute");
        }
    }

private:
    static storage::Hdf5Type text_type(std::size_t bytes) {
        storage::Hdf5Type type{H5Tcopy(H5T_C_S1), "copy a type"};
        storage::check_hdf5(H5Tset_size(type.get(), bytes == 0 ? H5T_VARIABLE : bytes), "size");
        storage::check_hdf5(H5Tset_strpad(type.get(), H5T_STR_NULLPAD), "pad");
        storage::check_hdf5(H5Tset_cset(type.get(), H5T_CSET_UTF8), "encode");
        return type;
    }

    static storage::Hdf5Dataset create(const storage::Hdf5File& file, const char* name, hid_t type,
                                       const std::vector<hsize_t>& shape) {
        const storage::Hdf5Space space{
            H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), "shape"};
        return {
            H5Dcreate2(file.get(), name, type, space.get(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
            "create a dataset"};
    }

    template <typename Value>
    static void write_list(const storage::Hdf5File& file, const char* name, hid_t stored,
                           hid_t native, const std::vector<Value>& values) {
        if (values.empty()) return;
        const auto dataset = create(file, name, stored, {values.size()});
        storage::check_hdf5(
            H5Dwrite(dataset.get(), native, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
            "write a dataset");
    }

    void write_tokens(const storage::Hdf5File& file) const {
        if (tokens_as_matrix) {
            create(file, "tokens", stored_tokens, {tokens.size(), 1});
        } else if (claimed_tokens) {
            create(file, "tokens", stored_tokens, {*claimed_tokens});
        } else {
            write_list(file, "tokens", stored_tokens, H5T_NATIVE_INT32, tokens);
        }
    }

    void write_titles(const storage::Hdf5File& file) const {
        if (titles.empty()) return;
        const storage::Hdf5Type type = text_type(title_bytes);
        const auto dataset = create(file, "titles", type.get(), {titles.size()});
        if (title_bytes == 0) return;
        std::string padded;
        for (std::string title : titles) {
            title.resize(title_bytes, '\0');
            padded += title;
        }
        storage::check_hdf5(
            H5Dwrite(dataset.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, padded.data()),
            "write titles");
    }

    static void write_number(const storage::Hdf5File& file, const char* name,
                             std::optional<std::int64_t> value) {
        if (!value) return;
        const storage::Hdf5Space scalar{H5Screate(H5S_SCALAR), "create a space"};
        const storage::Hdf5Attribute attribute{
            H5Acreate2(file.get(), name, H5T_STD_I64LE, scalar.get(), H5P_DEFAULT, H5P_DEFAULT),
            "create an attribute"};
        storage::check_hdf5(H5Awrite(attribute.get(), H5T_NATIVE_INT64, &*value), "write a number");
    }
};

}  // namespace longrope::tests
