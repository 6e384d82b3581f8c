// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/exit_code.hpp"
#include "coordinator/configuration.hpp"

namespace longrope::cli {

/// `longrope search --check`: validates configuration, model, documents, an earlier history and the
/// run directory, and prints what the search would cost on this machine. Computes nothing.
/// @param ranks  of this job
[[nodiscard]] ExitCode check_search(const coordinator::Configuration& configuration, int ranks,
                                    bool json);

}  // namespace longrope::cli
