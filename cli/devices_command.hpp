// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"

namespace longrope::cli {

/// `longrope devices`: what this machine offers to evaluators and which backend would be taken.
[[nodiscard]] ExitCode run_devices(const Words& words);

}  // namespace longrope::cli
