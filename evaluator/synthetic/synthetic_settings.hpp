// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace longrope::evaluator {

/// Settings of the synthetic evaluator: a closed-form landscape with programmable duration and
/// faults, for tests of everything around an evaluation. Keys of [evaluator.synthetic].
struct SyntheticSettings {
    std::uint32_t dimensions = 16;        ///< rotary_dim / 2 of the imagined model
    double theta = 10000.0;               ///< RoPE base of the imagined model
    std::uint32_t original_window = 256;  ///< tokens
    std::uint32_t documents = 8;          ///< of each split: search, validation, heldout
    std::string variant{};                ///< of the imagined weights; empty: the untuned ones
    double duration_ms = 0.0;             ///< of a task
    double duration_spread = 0.0;    ///< relative, uniform in [-spread, +spread], by task content
    std::string fault = "none";      ///< none, crash, hang, not_finite, garbage, start, error
    std::uint32_t fault_every = 0;   ///< each process faults on its N-th, 2N-th … task; 0: never
    std::uint32_t poison_every = 0;  ///< a factor vector whose hash is 0 modulo N always faults
};

/// The variant that a folder stands for: the digest of its config.json, whatever that says.
/// @throws EvaluatorError if it cannot be read
[[nodiscard]] std::string synthetic_variant(const std::filesystem::path& folder);

}  // namespace longrope::evaluator
