// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace longrope::cli {

/// What a history holds of a list: its scores on documents, summed in nats.
struct StoredScores {
    std::string documents_of;  ///< "heldout", "validation", "start_token_sweep" or "search"
    std::vector<std::uint32_t> documents;      ///< index in the documents file
    std::vector<double> nll;                   ///< shape [documents]
    std::vector<std::uint64_t> scored_tokens;  ///< shape [documents]
};

/// One of the two lists that an engine chooses between.
struct FactorList {
    std::string origin;                 ///< for people: stage "2048", individual 12; ones; a file
    std::vector<double> factors;        ///< lambda, shape [rotary pairs]
    std::uint32_t start_tokens = 0;     ///< n-hat, which no engine knows
    std::uint64_t tokens = 0;           ///< the length that it was made for
    std::optional<StoredScores> score;  ///< at that length
    bool is_ones = false;               ///< made up, since none was given
};

/// Everything that an export says, whatever the format.
struct RopeExport {
    FactorList long_list;   ///< above the original window
    FactorList short_list;  ///< up to it; no factors: the long list is by itself
    double theta = 0.0;
    std::uint32_t rotary_dim = 0;
    std::uint64_t original_window = 0;  ///< L, tokens
    double attention_scale = 1.0;       ///< m of both lists
    std::string attention_rule;         ///< su, yarn, none or a number

    // Where the lists come from, for the native format; empty or 0 for imported lists.
    std::string model_digest, documents_digest, run_uuid, stage, objective;
    std::uint64_t seed = 0;

    /// L', tokens.
    [[nodiscard]] std::uint64_t target_tokens() const noexcept { return long_list.tokens; }
    /// Whether the list is for no more than the original window, and so has no other beside it.
    [[nodiscard]] bool is_one_list() const noexcept { return short_list.factors.empty(); }
    /// m as engines work it out from the two windows: sqrt(1 + ln(L'/L) / ln L).
    [[nodiscard]] double assumed_attention_scale() const;
    /// Whether engines come to m by themselves.
    [[nodiscard]] bool has_assumed_attention_scale() const;
};

}  // namespace longrope::cli
