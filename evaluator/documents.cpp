// SPDX-License-Identifier: Apache-2.0
#include "evaluator/documents.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <span>
#include <utility>

#include "evaluator/digest.hpp"
#include "evaluator/documents_reader.hpp"
#include "evaluator/evaluator.hpp"
#include "evaluator/input_file.hpp"
#include "evaluator/model/json_file.hpp"
#include "storage/hdf5_error.hpp"

namespace longrope::evaluator {

namespace {

constexpr std::int64_t newest_format = 1;

void check_offsets(const DocumentsReader& reader, const std::vector<std::int64_t>& offsets,
                   std::size_t tokens) {
    if (offsets.size() < 2) {
        reader.refuse(fmt::format(
            "dataset offsets has {} values, expected one more than the documents, at least 2",
            offsets.size()));
    }
    if (offsets.size() - 1 > std::numeric_limits<std::uint32_t>::max()) {
        reader.refuse(fmt::format("{} documents, expected at most {}", offsets.size() - 1,
                                  std::numeric_limits<std::uint32_t>::max()));
    }
    if (offsets.front() != 0) {
        reader.refuse(fmt::format("offsets[0] = {}, expected 0", offsets.front()));
    }
    const auto descent = std::ranges::adjacent_find(offsets, std::ranges::greater{});
    if (descent != offsets.end()) {
        const auto index = descent - offsets.begin();
        reader.refuse(
            fmt::format("offsets[{}] = {} after offsets[{}] = {}, expected offsets that ascend",
                        index + 1, descent[1], index, descent[0]));
    }
    if (static_cast<std::uint64_t>(offsets.back()) != tokens) {
        reader.refuse(fmt::format("offsets[{}] = {}, expected {}, the number of tokens",
                                  offsets.size() - 1, offsets.back(), tokens));
    }
}

/// Contiguous datasets carry no checksum of their own, so the writer leaves one.
void check_tokens(const DocumentsReader& reader, const std::vector<std::int32_t>& tokens) {
    const auto written = reader.text_attribute("tokens_sha256");
    if (!written) return;
    const std::string found = Sha256{}.bytes(std::as_bytes(std::span{tokens})).hexadecimal();
    if (found == *written) return;
    reader.refuse(fmt::format(
        "the tokens have SHA-256 {}, but {} was written (tokens_sha256): the file is damaged",
        found, *written));
}

std::vector<Split> checked_splits(const DocumentsReader& reader,
                                  const std::vector<std::uint8_t>& codes) {
    std::vector<Split> splits;
    for (const std::uint8_t code : codes) {
        if (code > static_cast<std::uint8_t>(Split::validation)) {
            reader.refuse(
                fmt::format("split[{}] = {}, expected 0 (search), 1 (heldout) or 2 (validation)",
                            splits.size(), code));
        }
        splits.push_back(static_cast<Split>(code));
    }
    return splits;
}

}  // namespace

const char* split_name(Split split) noexcept {
    switch (split) {
        case Split::search:
            return "search";
        case Split::heldout:
            return "heldout";
        case Split::validation:
            return "validation";
    }
    return "unknown";
}

Documents::Documents(const std::filesystem::path& file) : file_{file} {
    const storage::QuietHdf5 quiet;  // the message says it
    try {
        const DocumentsReader reader{file};
        const std::int64_t version = reader.integer_attribute("format_version");
        if (version > newest_format) {
            throw EvaluatorError{fmt::format(
                "{}: format_version = {}, expected 1 to {}: a newer program wrote it; use that "
                "one, or {}",
                file.string(), version, newest_format, documents_remedy)};
        }
        if (version < 1) {
            reader.refuse(
                fmt::format("format_version = {}, expected 1 to {}", version, newest_format));
        }
        const std::int64_t bos = reader.integer_attribute("bos_token_id");
        if (bos < -1 || bos > std::numeric_limits<std::int32_t>::max()) {
            reader.refuse(fmt::format("bos_token_id = {}, expected a token, or -1 for none", bos));
        }
        bos_token_id_ = static_cast<std::int32_t>(bos);
        tokens_ = reader.int32_list("tokens");
        offsets_ = reader.int64_list("offsets");
        check_tokens(reader, tokens_);
        check_offsets(reader, offsets_, tokens_.size());
        titles_ = reader.text_list("titles");
        tokenizer_sha256_ = reader.text_attribute("tokenizer_sha256").value_or("");
        splits_ = checked_splits(reader, reader.uint8_list("split"));
        for (const auto& [name, found] :
             {std::pair{"titles", titles_.size()}, std::pair{"split", splits_.size()}}) {
            if (found != count()) {
                reader.refuse(fmt::format("dataset {} has {} values, expected {}, one per document",
                                          name, found, count()));
            }
        }
    } catch (const storage::StorageError& error) {
        throw EvaluatorError{
            fmt::format("{}: damaged: {}; {}", file.string(), error.what(), documents_remedy)};
    }

    Sha256 digest;
    digest.text("longrope documents 1").number(static_cast<std::uint64_t>(bos_token_id_ + 1LL));
    digest.number(count());
    digest.bytes(std::as_bytes(std::span{offsets_}));
    digest.bytes(std::as_bytes(std::span{splits_}));
    digest.bytes(std::as_bytes(std::span{tokens_}));
    digest_ = digest.hexadecimal();
}

std::uint32_t Documents::count() const noexcept {
    return static_cast<std::uint32_t>(offsets_.size() - 1);
}

void Documents::check_index(std::uint32_t document) const {
    if (document < count()) return;
    throw EvaluatorError{fmt::format("{}: document {} does not exist, expected 0 to {}",
                                     file_.string(), document, count() - 1)};
}

std::span<const std::int32_t> Documents::tokens(std::uint32_t document) const {
    check_index(document);
    const auto begin = static_cast<std::size_t>(offsets_[document]);
    const auto end = static_cast<std::size_t>(offsets_[document + 1U]);
    return std::span{tokens_}.subspan(begin, end - begin);
}

const std::string& Documents::title(std::uint32_t document) const {
    check_index(document);
    return titles_[document];
}

Split Documents::split(std::uint32_t document) const {
    check_index(document);
    return splits_[document];
}

std::vector<std::uint32_t> Documents::of_split(Split split) const {
    std::vector<std::uint32_t> found;
    for (std::uint32_t document = 0; document < count(); ++document) {
        if (splits_[document] == split) found.push_back(document);
    }
    return found;
}

std::uint64_t Documents::positions(std::uint32_t document) const {
    return tokens(document).size() + (bos_token_id_ >= 0 ? 1U : 0U);
}

std::vector<std::int32_t> Documents::input(std::uint32_t document, std::uint64_t positions,
                                           std::uint64_t offset) const {
    const std::span<const std::int32_t> stored = tokens(document);
    const std::uint64_t filled = this->positions(document);
    if (positions > filled || offset > filled - positions) {
        const std::string after = offset == 0 ? "" : fmt::format(" after {} tokens", offset);
        throw EvaluatorError{
            fmt::format("{}: document {} (\"{}\", {}) fills {} positions, but {} are asked for{}",
                        file_.string(), document, title(document), split_name(split(document)),
                        filled, positions, after)};
    }
    std::vector<std::int32_t> input;
    input.reserve(static_cast<std::size_t>(positions));
    if (bos_token_id_ >= 0 && positions > 0) input.push_back(bos_token_id_);
    const auto rest = static_cast<std::ptrdiff_t>(positions - input.size());
    const auto first = stored.begin() + static_cast<std::ptrdiff_t>(offset);
    input.insert(input.end(), first, first + rest);
    return input;
}

void Documents::check_vocabulary(std::uint32_t vocabulary) const {
    const auto outside = [vocabulary](std::int32_t token) {
        return token < 0 || static_cast<std::uint32_t>(token) >= vocabulary;
    };
    if (bos_token_id_ >= 0 && outside(bos_token_id_)) {
        throw EvaluatorError{fmt::format(
            "{}: bos_token_id = {}, expected a token in [0, {}), the model's vocabulary",
            file_.string(), bos_token_id_, vocabulary)};
    }
    const auto found = std::ranges::find_if(tokens_, outside);
    if (found == tokens_.end()) return;
    const std::int64_t index = found - tokens_.begin();
    const auto after = std::ranges::upper_bound(offsets_, index);
    const auto document = static_cast<std::uint32_t>(after - offsets_.begin() - 1);
    throw EvaluatorError{fmt::format(
        "{}: document {} (\"{}\") has token {} at index {}, expected [0, {}), the model's "
        "vocabulary: was it made with another tokeniser?",
        file_.string(), document, titles_[document], *found, index - offsets_[document],
        vocabulary)};
}

std::string Documents::tokenizer_mismatch(const std::filesystem::path& model) const {
    constexpr std::uintmax_t largest_tokenizer = std::uintmax_t{1} << 30U;
    const std::filesystem::path tokenizer = model / "tokenizer.json";
    if (tokenizer_sha256_.empty() || !is_there(tokenizer)) return {};
    const std::string text = read_text_file(tokenizer, largest_tokenizer);
    const std::string found = Sha256{}.bytes(std::as_bytes(std::span{text})).hexadecimal();
    if (found == tokenizer_sha256_) return {};
    return fmt::format(
        "{}: its tokens were made with another tokenizer (SHA-256 {}) than {} ({}): make it again "
        "with that one, scripts/tokenize_documents.py --tokenizer {}; or, if both give the same "
        "tokens, take a model folder with the other, which may be one of links",
        file_.string(), tokenizer_sha256_, tokenizer.string(), found, tokenizer.string());
}

}  // namespace longrope::evaluator
