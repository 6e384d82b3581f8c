// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace longrope::evaluator {

enum class Split : std::uint8_t { search = 0, heldout = 1, validation = 2 };

[[nodiscard]] const char* split_name(Split split) noexcept;

/// The tokenised documents of an HDF5 file made by scripts/tokenize_documents.py, read whole.
class Documents {
public:
    /// @throws EvaluatorError naming file, dataset, index, what was found and what is accepted:
    ///         wrong types or shapes, offsets that do not ascend or leave the tokens, unknown
    ///         split, newer format_version
    explicit Documents(const std::filesystem::path& file);

    [[nodiscard]] std::uint32_t count() const noexcept;
    /// These three throw EvaluatorError for a document that does not exist.
    [[nodiscard]] std::span<const std::int32_t> tokens(std::uint32_t document) const;
    [[nodiscard]] const std::string& title(std::uint32_t document) const;
    [[nodiscard]] Split split(std::uint32_t document) const;
    [[nodiscard]] std::int32_t bos_token_id() const noexcept {
        return bos_token_id_;
    }  ///< -1: none
    [[nodiscard]] std::vector<std::uint32_t> of_split(Split split) const;
    /// Positions that document `document` can fill: its tokens, one more with a BOS.
    [[nodiscard]] std::uint64_t positions(std::uint32_t document) const;
    /// `positions` inputs: BOS where there is one, then the document's tokens from `offset` on.
    /// @throws EvaluatorError if the document is shorter, naming it and both lengths
    [[nodiscard]] std::vector<std::int32_t> input(std::uint32_t document, std::uint64_t positions,
                                                  std::uint64_t offset = 0) const;
    /// @throws EvaluatorError naming document and index of the first token outside [0, vocabulary)
    void check_vocabulary(std::uint32_t vocabulary) const;
    /// What is wrong if `model`, a Hugging Face folder, has another tokenizer.json than the one
    /// that the tokens were made with: both files, their SHA-256 and what to do. Empty if it is the
    /// same, or one of the two does not say.
    [[nodiscard]] std::string tokenizer_mismatch(const std::filesystem::path& model) const;
    /// Hexadecimal SHA-256 of tokens, offsets, splits and BOS.
    [[nodiscard]] const std::string& digest() const noexcept { return digest_; }

private:
    void check_index(std::uint32_t document) const;

    std::filesystem::path file_;
    std::vector<std::int32_t> tokens_;
    std::vector<std::int64_t> offsets_;
    std::vector<std::string> titles_;
    std::vector<Split> splits_;
    std::int32_t bos_token_id_ = -1;
    std::string digest_;
    std::string tokenizer_sha256_;  ///< of tokenizer.json; empty: the file does not say
};

}  // namespace longrope::evaluator
