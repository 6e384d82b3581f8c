// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_digest.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <openssl/evp.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <tuple>
#include <type_traits>
#include <vector>

#include "coordinator/history_layout.hpp"

namespace longrope::coordinator {

namespace {

static_assert(std::endian::native == std::endian::little, "numbers are hashed as they lie");

/// SHA-256 of what was added, gathered in blocks since most additions are a few bytes.
class Sha256 {
public:
    Sha256() {
        pending_.reserve(block_bytes);
        require(context_ != nullptr &&
                EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) == 1);
    }

    void add(std::span<const std::byte> bytes) {
        if (pending_.size() + bytes.size() > block_bytes) flush();
        if (bytes.size() > block_bytes) {
            update(bytes);
        } else {
            pending_.insert(pending_.end(), bytes.begin(), bytes.end());
        }
    }

    [[nodiscard]] std::string hexadecimal() {
        flush();
        std::array<unsigned char, 32> digest{};
        require(EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) == 1);
        return fmt::format("{:02x}", fmt::join(digest, ""));
    }

private:
    static constexpr std::size_t block_bytes = 1U << 16U;

    static void require(bool succeeded) {
        if (!succeeded) throw HistoryError{"cannot compute SHA-256: libcrypto refused"};
    }
    void update(std::span<const std::byte> bytes) {
        require(EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1);
    }
    void flush() {
        update(pending_);
        pending_.clear();
    }

    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_{EVP_MD_CTX_new(),
                                                                     &EVP_MD_CTX_free};
    std::vector<std::byte> pending_;
};

template <typename Number>
requires std::is_arithmetic_v<Number> || std::is_enum_v<Number>
void add(Sha256& sha, const Number& value) {
    sha.add(std::as_bytes(std::span{&value, 1}));
}

void add(Sha256& sha, const std::string& text) {
    add(sha, std::uint64_t{text.size()});
    sha.add(std::as_bytes(std::span{text}));
}

/// Rows and records are their fields, arrays their length and elements.
template <typename Record>
requires std::is_class_v<Record>
void add(Sha256& sha, const Record& record, std::uint32_t version) {
    for_each_field<Record>([&](const auto& field) { add(sha, record.*field.member); }, version);
}

template <typename Element>
void add_all(Sha256& sha, const std::vector<Element>& elements) {
    add(sha, std::uint64_t{elements.size()});
    if constexpr (std::is_arithmetic_v<Element> || std::is_enum_v<Element>) {
        sha.add(std::as_bytes(std::span{elements}));
    } else {
        for (const Element& element : elements) add(sha, element);
    }
}

/// Rows with the columns that a format version has.
template <typename Row>
void add_rows(Sha256& sha, const std::vector<Row>& rows, std::uint32_t version) {
    add(sha, std::uint64_t{rows.size()});
    for (const Row& row : rows) add(sha, row, version);
}

template <typename Row>
void add_table(Sha256& sha, const ScoreTable<Row>& table, std::uint32_t version) {
    add_rows(sha, table.rows, version);
    add(sha, table.dimensions);
    add_all(sha, table.factors);
    add_all(sha, table.document_nll);
    add_all(sha, table.document_status);
    add_all(sha, table.documents);
    add_all(sha, table.document_titles);
    add_all(sha, table.document_tokens);
    if (version >= campaigns_since) add_all(sha, table.document_weights);
}

}  // namespace

std::string content_digest(const RunHistory& history, std::uint32_t version) {
    Sha256 sha;
    add(sha, history, version);
    add(sha, std::uint64_t{history.identity.size()});
    for (const auto& [key, value] : history.identity) {
        add(sha, key);
        add(sha, value);
    }
    add(sha, std::uint64_t{history.stages.size()});
    for (const StageHistory& stage : history.stages) {
        add(sha, stage.name);
        add(sha, stage, version);
        add_table(sha, stage.evaluations, version);
        for (const ScoreGroup& group : score_groups) add_table(sha, stage.*group.member, version);
        add_rows(sha, stage.generations, version);
        add_rows(sha, stage.failures, version);
        add(sha, stage.best, version);
        add_all(sha, stage.best.factors);
        if (version >= campaigns_since) {
            add(sha, stage.base, version);
            add_all(sha, stage.base.factors);
        }
    }
    add_rows(sha, history.workers, version);
    return sha.hexadecimal();
}

}  // namespace longrope::coordinator
