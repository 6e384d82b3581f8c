// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace longrope::coordinator {

/// stage.bound: "1.25s" (a multiple of the extension ratio), "1+s", or a number of at least 1.
/// @returns the shortest text of the same meaning; empty for anything else
[[nodiscard]] std::optional<std::string> canonical_bound(std::string_view text);

/// evaluator.attention_scale: "su", "yarn", "none", or a number of 0.01 to 100.
[[nodiscard]] std::optional<std::string> canonical_attention_scale(std::string_view text);

/// stage.name: a group of the history and the name of the stage's random stream, so neither empty
/// nor ".", without '/' and control characters, and not "documents", the stream that chooses them.
[[nodiscard]] std::optional<std::string> canonical_stage_name(std::string_view text);

/// stage.base: a stage name, or nothing.
[[nodiscard]] std::optional<std::string> canonical_stage_reference(std::string_view text);

/// stage.search_documents and the like: a whole number, or nothing.
[[nodiscard]] std::optional<std::string> canonical_count(std::string_view text);

/// stage.objective: "256 = 0.5, 2048 = 0.5", or nothing; lengths ascend in the canonical text.
[[nodiscard]] std::optional<std::string> canonical_objective(std::string_view text);

/// stage.finetune: a file, or "128k = first.toml, 256k = second.toml" (trainings.hpp), or nothing.
[[nodiscard]] std::optional<std::string> canonical_trainings(std::string_view text);

}  // namespace longrope::coordinator
