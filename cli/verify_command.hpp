// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"

namespace longrope::cli {

/// longrope verify: whether a history follows from its seed and its document scores.
/// @throws coordinator::HistoryError naming the first row that does not
[[nodiscard]] ExitCode run_verify(const Words& words);

}  // namespace longrope::cli
