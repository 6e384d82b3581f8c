// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "genome/baseline_factors.hpp"

namespace longrope::genome {

/// The fixed names: none, pi, ntk, dynamic-ntk, ntk-critical, llama3, ramp, yarn. "yarn-FAST-SLOW"
/// with other turns than 32 and 1, for example "yarn-64-1", is accepted besides.
[[nodiscard]] std::span<const std::string_view> baseline_names() noexcept;

/// All that is accepted, for messages: "none, pi, ..., yarn, yarn-FAST-SLOW".
[[nodiscard]] std::string accepted_baselines();

/// The rescale factors of a named baseline, neither clamped nor rounded; shape [D].
/// @returns nothing if there is no baseline of that name
/// @throws std::domain_error if the facts or the window are outside the rule's range
[[nodiscard]] std::optional<std::vector<double>> named_baseline(std::string_view name,
                                                                const RotaryFacts& facts,
                                                                double target_window);

struct NamedFactors {
    std::string name;             ///< accepted by `named_baseline`
    std::vector<double> factors;  ///< shape [D], neither clamped nor rounded
};

/// The vectors a search starts from and is compared with: PI, NTK, YaRN, NTK by critical
/// dimension, YaRN with 64 to 1, 16 to 1 and 32 to 2 turns. The paper has the first three.
/// @throws std::domain_error as `named_baseline`
[[nodiscard]] std::vector<NamedFactors> seed_baselines(const RotaryFacts& facts,
                                                       double target_window);

}  // namespace longrope::genome
