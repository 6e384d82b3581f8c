// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"
#include "cli/job.hpp"

namespace longrope::cli {

/// `longrope search CONFIG`: searches, continues or checks. Called on the coordinator's rank.
[[nodiscard]] ExitCode run_search(Job& job, const Words& words);

}  // namespace longrope::cli
