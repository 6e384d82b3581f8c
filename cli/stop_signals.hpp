// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace longrope::cli {

/// From now on SIGINT, SIGTERM, SIGUSR1 and SIGHUP, unless it was ignored, ask for an early stop
/// instead of ending the process; a second SIGINT ends it at once with status 130, whatever
/// came between.
void catch_stop_signals();

/// From now on they end the process again, as one does that was caught before.
void release_stop_signals();

/// Which signal asked for a stop, if one did.
[[nodiscard]] std::optional<std::string> requested_stop();

}  // namespace longrope::cli
