// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace longrope::cli {

[[nodiscard]] std::string program_version();  ///< "0.1.0"
[[nodiscard]] std::string program_commit();   ///< "1a2b3c4d5e6f", "-dirty" appended, or "unknown"

/// "Open MPI 4.1.4, HDF5 1.10.8, oneDNN 2.6.3": the libraries at work, not those compiled against.
[[nodiscard]] std::string library_versions();

}  // namespace longrope::cli
