// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace longrope::cli {

/// Rescale factors of a file, and what it says beside them.
struct FactorsFile {
    std::vector<double> factors;        ///< lambda, shape [rotary pairs]
    std::vector<double> short_factors;  ///< for the original window; empty: the file has none
    std::optional<std::uint32_t> start_tokens;
    std::optional<double> attention_scale;
    std::optional<std::uint64_t> original_window;  ///< tokens
    std::optional<std::uint64_t> target_tokens;
    std::string model_digest;  ///< of the weights that they were found on; empty: not said
};

/// Reads factors in any form they are passed around in:
/// - text: one per line or between commas or blanks; or a line per layer, all the same, as the
///   published code of LongRoPE has it; empty lines and lines that start with # are skipped;
/// - JSON: a list; what `longrope export --format json` writes; a config.json with the two lists of
///   "longrope"; or the log of the published code, of whose population the best is taken.
/// @param flag   that named the file, for messages
/// What JSON says of itself must be so: its format, and the rotation that its factors are for.
/// @param pairs  of the model
/// @param theta  of the model
/// @throws UsageError naming flag, file, line or key, what was found and what is accepted
[[nodiscard]] FactorsFile read_factors_file(const std::filesystem::path& file,
                                            const std::string& flag, std::size_t pairs,
                                            double theta);

/// What is unusual in a list whose factors should not decrease: which is the first that does and
/// how many there are; empty if nothing is. Source: LongRoPE (arXiv:2402.13753), section 3.2; its
/// own vectors for Mistral dip by 0.01.
[[nodiscard]] std::string dips_of(std::span<const double> factors);

/// Each factor raised to the largest before it.
[[nodiscard]] std::vector<double> running_maximum(std::span<const double> factors);

/// Mends the dips of both lists, or says on stderr that there are some.
void settle_dips(FactorsFile& file, const std::string& flag, bool repair);

}  // namespace longrope::cli
