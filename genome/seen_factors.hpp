// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

namespace longrope::genome {

/// The factor vectors a search has bred, compared as the published code does: elementwise
/// |a - b| <= 1e-8 + 1e-5 |b|, b being the one seen. A search compares in time linear in the number
/// of vectors; most differ in their first elements already.
/// Source: github.com/microsoft/LongRoPE, evolution/algorithms/genetic_base.py (numpy.allclose).
class SeenFactors {
public:
    /// @param factors  of the shape of all others
    [[nodiscard]] bool contains(std::span<const double> factors) const;
    void insert(std::vector<double> factors);

private:
    std::vector<std::vector<double>> vectors_;
};

}  // namespace longrope::genome
