// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace longrope::cli {

/// Sums of one factor vector on the documents of a report, in their order.
struct MethodScores {
    std::string name;
    std::vector<double> nll;     ///< shape [documents]: sums in nats
    std::vector<bool> failed{};  ///< shape [documents]: not scored; or empty: all are
};

/// Documents of one source: those whose titles agree but for the "i/n" at the end.
struct DocumentGroup {
    std::string name;
    std::vector<std::size_t> documents;  ///< positions in the report
};
[[nodiscard]] std::vector<DocumentGroup> group_by_source(std::span<const std::string> titles);

/// exp of the token-weighted mean negative log-likelihood.
[[nodiscard]] double perplexity(const MethodScores& method, std::span<const std::uint64_t> tokens,
                                std::span<const std::size_t> documents);

/// Standard error of that perplexity, from how documents differ: with r_i = sum_i - mean *
/// tokens_i, perplexity * sqrt(n / (n - 1) * sum of r_i^2) / all tokens; documents of one length
/// give the deviation of their means / sqrt(n). NaN for fewer than two documents.
[[nodiscard]] double perplexity_error(const MethodScores& method,
                                      std::span<const std::uint64_t> tokens,
                                      std::span<const std::size_t> documents);

/// How much worse than a reference method, paired by document: 100 (e^mean - 1) %, of the
/// difference of mean negative log-likelihoods; the standard error is their deviation /
/// sqrt(documents).
struct PairedDifference {
    double percent = 0.0;
    double standard_error = 0.0;  ///< NaN for fewer than two documents
};
[[nodiscard]] PairedDifference paired_difference(const MethodScores& method,
                                                 const MethodScores& reference,
                                                 std::span<const std::uint64_t> tokens,
                                                 std::span<const std::size_t> documents);

/// The method that the others are compared with: yarn, or without it the first; empty for a method
/// alone.
[[nodiscard]] std::string reference_of(std::span<const MethodScores> methods);

/// A table: a row per method, per source its perplexity and the difference to `reference` with its
/// standard error, and the same over all documents.
/// @param reference  name of one of the methods; another name leaves the differences out
[[nodiscard]] std::string score_table_text(std::span<const MethodScores> methods,
                                           std::span<const std::string> titles,
                                           std::span<const std::uint64_t> tokens,
                                           const std::string& reference);

}  // namespace longrope::cli
