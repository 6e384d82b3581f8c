// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace longrope::genome {

/// Rule for m, which multiplies cosine and sine of every rotary angle, and so the attention logits
/// by m^2. With s = target window / original window:
///     su    m = sqrt(1 + ln s / ln original_window)   what consumers of LongRoPE factors assume
///     yarn  m = 0.1 ln s + 1                          arXiv:2309.00071, section 3.4
///     none  m = 1
/// or a number, which holds whatever the windows. su and yarn give 1 when s <= 1. Known scales are
/// 1 to 1.7; a number may be 0.01 to 100, beyond which the logits, times m^2, say nothing any more.
class AttentionScale {
public:
    enum class Rule { su, yarn, none, constant };

    /// @param text  "su", "yarn", "none" or a number of 0.01 to 100
    /// @returns     nothing on any other text
    [[nodiscard]] static std::optional<AttentionScale> parse(std::string_view text);
    /// Whether it is a number that `parse` accepts: 0.01 to 100.
    [[nodiscard]] static bool accepts(double number) noexcept;
    /// What `parse` accepts, for messages.
    [[nodiscard]] static std::string_view accepted() noexcept;

    /// m for windows in tokens.
    /// @throws std::domain_error if the original window is not above 1 or the target not above 0
    [[nodiscard]] double value(double original_window, double target_window) const;

    [[nodiscard]] Rule rule() const noexcept { return rule_; }
    /// The text that `parse` turns into this rule.
    [[nodiscard]] std::string text() const;
    friend bool operator==(const AttentionScale&, const AttentionScale&) = default;

private:
    AttentionScale(Rule rule, double constant) : rule_{rule}, constant_{constant} {}

    Rule rule_;
    double constant_;  // 1 unless the rule is constant
};

}  // namespace longrope::genome
