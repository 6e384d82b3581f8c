// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"

namespace longrope::cli {

/// `longrope init --model … --documents … --target …`: writes a commented configuration for them.
[[nodiscard]] ExitCode run_init(const Words& words);

}  // namespace longrope::cli
