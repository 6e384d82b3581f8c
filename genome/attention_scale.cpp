// SPDX-License-Identifier: Apache-2.0
#include "genome/attention_scale.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <stdexcept>
#include <system_error>

#include "genome/rounded_functions.hpp"

namespace longrope::genome {

std::optional<AttentionScale> AttentionScale::parse(std::string_view text) {
    if (text == "su") return AttentionScale{Rule::su, 1.0};
    if (text == "yarn") return AttentionScale{Rule::yarn, 1.0};
    if (text == "none") return AttentionScale{Rule::none, 1.0};
    double constant = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), constant);
    if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
    if (!accepts(constant)) return std::nullopt;
    return AttentionScale{Rule::constant, constant};
}

bool AttentionScale::accepts(double number) noexcept {
    return number >= 0.01 && number <= 100.0;
}

std::string_view AttentionScale::accepted() noexcept {
    return "su, yarn, none or a number of 0.01 to 100";
}

double AttentionScale::value(double original_window, double target_window) const {
    if (rule_ == Rule::constant || rule_ == Rule::none) return constant_;
    if (!(original_window > 1.0) || !(target_window > 0.0)) {
        throw std::domain_error{fmt::format("no attention scale for windows of {} and {} tokens",
                                            original_window, target_window)};
    }
    const double s = target_window / original_window;
    if (s <= 1.0) return 1.0;
    if (rule_ == Rule::yarn) return 0.1 * rounded_log(s) + 1.0;
    return std::sqrt(1.0 + rounded_log(s) / rounded_log(original_window));
}

std::string AttentionScale::text() const {
    switch (rule_) {
        case Rule::su:
            return "su";
        case Rule::yarn:
            return "yarn";
        case Rule::none:
            return "none";
        case Rule::constant:
            return fmt::format("{}", constant_);
    }
    throw std::logic_error{"unknown rule of the attention scale"};
}

}  // namespace longrope::genome
