// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "coordinator/history.hpp"

namespace longrope::cli {

/// What a finished stage found, for standard output: the choice on the validation documents and the
/// table of held-out perplexities.
[[nodiscard]] std::string stage_result_text(const coordinator::StageHistory& stage);

}  // namespace longrope::cli
