// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace longrope::cli {

/// Negative log-likelihoods per token of one method at one length.
struct TokenScoresBlock {
    std::string method;
    std::uint64_t tokens = 0;     ///< L', positions fed
    std::vector<double> factors;  ///< lambda, shape [rotary_dim / 2]
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
    std::vector<std::vector<float>>
        nll;  ///< nats, shape [documents][L'-1], or [0] of one not scored
};

/// Writes /<method>/<tokens>/nll float32 [documents, L'-1]; each method's group has the dataset
/// `factors` and the attributes attention_scale and start_tokens. An existing file is replaced by
/// the whole new one, or not at all.
/// @throws storage::StorageError, coordinator::HistoryError naming the path
void write_token_scores(const std::filesystem::path& file,
                        const std::vector<TokenScoresBlock>& blocks);

}  // namespace longrope::cli
