// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "storage/hdf5_handle.hpp"

namespace longrope::evaluator {

/// What to do about a documents file that is refused.
constexpr const char* documents_remedy = "make it with scripts/tokenize_documents.py";

/// An open documents file, read dataset by dataset. Every length is checked before memory is
/// allocated for it. All functions throw EvaluatorError, naming file, dataset or attribute and what
/// is expected, where the type or the shape is another; storage::StorageError where HDF5 fails.
class DocumentsReader {
public:
    explicit DocumentsReader(const std::filesystem::path& path);

    // One-dimensional datasets of exactly this integer, in any byte order.
    [[nodiscard]] std::vector<std::int32_t> int32_list(const char* name) const;
    [[nodiscard]] std::vector<std::int64_t> int64_list(const char* name) const;
    [[nodiscard]] std::vector<std::uint8_t> uint8_list(const char* name) const;
    /// Fixed-length strings, without their padding.
    [[nodiscard]] std::vector<std::string> text_list(const char* name) const;
    /// An integer attribute of the file, of any width.
    [[nodiscard]] std::int64_t integer_attribute(const char* name) const;
    /// A fixed-length text attribute of the file; nothing if it is absent.
    [[nodiscard]] std::optional<std::string> text_attribute(const char* name) const;

    /// @throws EvaluatorError "<file>: <what>; <what makes such files>"
    [[noreturn]] void refuse(const std::string& what) const;

private:
    template <typename Value>
    [[nodiscard]] std::vector<Value> integers(const char* name, hid_t native,
                                              const char* expected) const;
    [[nodiscard]] storage::Hdf5Dataset open_dataset(const char* name) const;
    /// The values of a one-dimensional dataset, if the file can hold them.
    [[nodiscard]] std::size_t length(const storage::Hdf5Dataset& dataset, const char* name,
                                     std::size_t element_bytes) const;

    std::string path_;
    std::uintmax_t file_bytes_;
    storage::Hdf5File file_;
};

}  // namespace longrope::evaluator
