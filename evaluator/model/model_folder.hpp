// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "evaluator/model/model_config.hpp"
#include "evaluator/model/tensor_view.hpp"

namespace longrope::evaluator {

/// A Hugging Face model folder: config.json and model.safetensors, or model.safetensors.index.json
/// with its shards, memory-mapped. Every size and offset is checked before use.
class ModelFolder {
public:
    /// @throws EvaluatorError naming the file, tensor and numbers that do not fit
    explicit ModelFolder(const std::filesystem::path& folder);
    ModelFolder(ModelFolder&&) noexcept;
    ModelFolder& operator=(ModelFolder&&) noexcept;
    ModelFolder(const ModelFolder&) = delete;
    ModelFolder& operator=(const ModelFolder&) = delete;
    ~ModelFolder();

    [[nodiscard]] const ModelConfig& config() const noexcept;
    [[nodiscard]] const std::filesystem::path& folder() const noexcept;
    /// @throws EvaluatorError if the tensor is missing or its shape is not `shape`
    [[nodiscard]] TensorView tensor(const std::string& name,
                                    std::initializer_list<std::int64_t> shape) const;
    [[nodiscard]] bool has_tensor(const std::string& name) const;
    [[nodiscard]] std::vector<std::string> tensor_names() const;  ///< ascending
    /// Size of all weight files: what evaluators of a host share of the page cache.
    [[nodiscard]] std::uint64_t file_bytes() const noexcept;
    /// Bytes of one weight in the files, of the widest type among the tensors.
    [[nodiscard]] std::uint64_t stored_weight_bytes() const noexcept;
    /// What was read of the weights no longer counts as this process's memory.
    void release_pages() const noexcept;
    /// @throws EvaluatorError if a weight file was written to since it was opened
    void check_unchanged() const;
    /// Hexadecimal SHA-256 over config.json, safetensors headers and three blocks of each tensor;
    /// independent of where the folder lies.
    [[nodiscard]] std::string digest() const;

private:
    struct Contents;
    std::unique_ptr<Contents> contents_;
};

}  // namespace longrope::evaluator
