// SPDX-License-Identifier: Apache-2.0
#include "cli/rope_export.hpp"

#include <cmath>

#include "genome/attention_scale.hpp"

namespace longrope::cli {

double RopeExport::assumed_attention_scale() const {
    return genome::AttentionScale::parse("su").value().value(static_cast<double>(original_window),
                                                             static_cast<double>(target_tokens()));
}

bool RopeExport::has_assumed_attention_scale() const {
    constexpr double tolerance = 1e-9;  // engines compute it in double too
    const double assumed = assumed_attention_scale();
    return std::abs(attention_scale - assumed) <= tolerance * assumed;
}

}  // namespace longrope::cli
