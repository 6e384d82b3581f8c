// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"

namespace longrope::cli {

/// `longrope status DIRECTORY|CONFIG`: how far a search is, read from its history.
[[nodiscard]] ExitCode run_status(const Words& words);

}  // namespace longrope::cli
