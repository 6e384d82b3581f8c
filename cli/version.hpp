// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace longrope::cli {

[[nodiscard]] std::string program_version();  ///< "0.1.0"
[[nodiscard]] std::string program_commit();   ///< "1a2b3c4d5e6f", "-dirty" appended, or "unknown"

}  // namespace longrope::cli
