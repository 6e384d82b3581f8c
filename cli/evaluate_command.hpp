// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/arguments.hpp"
#include "cli/exit_code.hpp"
#include "cli/job.hpp"

namespace longrope::cli {

/// `longrope evaluate [CONFIG]`: perplexity of methods x lengths over the documents of a split.
/// Called on the coordinator's rank.
[[nodiscard]] ExitCode run_evaluate(Job& job, const Words& words);

}  // namespace longrope::cli
