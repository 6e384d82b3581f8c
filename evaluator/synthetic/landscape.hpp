// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "evaluator/synthetic/synthetic_settings.hpp"

namespace longrope::evaluator {

/// The imagined model and documents of the synthetic evaluator: a closed form that behaves as a
/// small Llama does, so that searches on it look real and cost nothing. Deterministic and
/// stateless.
///
/// Mean negative log-likelihood of document d at L' positions, s = L' / L:
///   base_d + sum_i w_i (ln lambda_i - ln lambda*_{d,i}(s))^2 + a (ln m - ln m*(s))^2 + t(n-hat,
///   lambda)
/// with the hidden optimum lambda*_d: a smooth rise from 1 to about 1.08 s around the critical
/// pair, shifted a little for each document. It is close to YaRN's factors and better than them.
class Landscape {
public:
    /// @throws EvaluatorError naming the setting that is out of range
    explicit Landscape(const SyntheticSettings& settings);

    /// Documents of all three splits.
    [[nodiscard]] std::uint32_t documents() const noexcept;

    /// The hidden optimum of one document: shape [dimensions], at least 1, non-decreasing.
    [[nodiscard]] std::vector<double> optimum(std::uint32_t document,
                                              std::uint64_t positions) const;
    /// Nats per scored token; positive. Start tokens 0 and 1 are the same function, and so are all
    /// of them where every factor is 1 or no position is rescaled.
    /// @throws EvaluatorError if the request does not fit: factors that are not `dimensions` finite
    ///         positive numbers, an attention scale that is not, fewer than 2 positions, a document
    ///         that does not exist
    [[nodiscard]] double mean_nll(const EvaluationRequest& request) const;

    /// Digests of what defines the imagined model and its documents, not of durations and faults.
    [[nodiscard]] std::string model_digest() const;
    [[nodiscard]] std::string documents_digest() const;

private:
    void check(const EvaluationRequest& request) const;
    void check_document(std::uint32_t document) const;
    [[nodiscard]] double optimal_attention_scale(double stretch) const;

    SyntheticSettings settings_;
    double variant_shift_ = 0.0;      // of the rise, in pairs
    double variant_gain_ = 0.0;       // nats
    double critical_pair_ = 0.0;      // index at which one period fills the original window
    std::vector<double> curvatures_;  // w_i, shape [dimensions]
};

}  // namespace longrope::evaluator
