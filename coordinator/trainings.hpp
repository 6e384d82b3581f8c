// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longrope::coordinator {

/// A fine-tuning on the way to the weights of a stage.
struct Training {
    std::string stage;     ///< whose factors are trained with; empty: the base, or the stage before
    std::string settings;  ///< file of configs/finetune's kind

    friend bool operator==(const Training&, const Training&) = default;
};

/// Reads stage.finetune: one file, or "128k = first.toml, 256k = second.toml", trainings that go on
/// from each other's weights in the order of the text (LongRoPE, arXiv:2402.13753, section 4.1).
/// A file's name has no "=" and, where there are several, no ",".
/// @returns nothing for an empty part and for a stage that is named twice; none for empty text
[[nodiscard]] std::optional<std::vector<Training>> parse_trainings(std::string_view text);

/// The text that `parse_trainings` reads.
[[nodiscard]] std::string trainings_text(const std::vector<Training>& trainings);

}  // namespace longrope::coordinator
