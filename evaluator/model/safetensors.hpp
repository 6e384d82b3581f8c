// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>

#include "evaluator/model/tensor_view.hpp"

namespace longrope::evaluator {

/// One memory-mapped safetensors file: 8 bytes of little-endian header length, a JSON header, and
/// the tensors, which must tile the rest of the file without hole or overlap.
class SafetensorsFile {
public:
    /// @throws EvaluatorError naming the file, the tensor and the numbers that do not fit
    explicit SafetensorsFile(const std::filesystem::path& file);
    SafetensorsFile(SafetensorsFile&&) noexcept;
    SafetensorsFile& operator=(SafetensorsFile&&) noexcept;
    SafetensorsFile(const SafetensorsFile&) = delete;
    SafetensorsFile& operator=(const SafetensorsFile&) = delete;
    ~SafetensorsFile();

    [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
    /// By name; the views point into the mapping and live as long as it.
    [[nodiscard]] const std::map<std::string, TensorView>& tensors() const noexcept {
        return tensors_;
    }
    /// The JSON text, padding included.
    [[nodiscard]] std::span<const std::byte> header() const noexcept { return header_; }
    /// What follows the header.
    [[nodiscard]] std::span<const std::byte> data() const noexcept { return data_; }

    /// Gives the pages that were read back to the system's file cache: they no longer count as this
    /// process's memory, and are there again when they are read.
    void release_pages() const noexcept;
    /// A mapping shows what is written into its file later, so that weights read before and after
    /// could be of two models. A file put in its place is none of this one's concern.
    /// @throws EvaluatorError if the file was written to since it was opened
    void check_unchanged() const;

private:
    struct Mapping;
    std::filesystem::path path_;
    std::unique_ptr<Mapping> mapping_;
    std::span<const std::byte> header_;
    std::span<const std::byte> data_;
    std::map<std::string, TensorView> tensors_;
};

}  // namespace longrope::evaluator
