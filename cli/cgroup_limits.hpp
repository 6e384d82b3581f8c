// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace longrope::cli {

/// What the control groups that this process is in let it and their other processes have, as Slurm
/// and containers limit jobs: the least of its own group and of those above, of version 1 and 2.
struct CgroupLimits {
    std::optional<std::uint64_t> memory_bytes;  ///< beyond it a process is killed
    std::optional<double> cores;                ///< time of so many in all, on whichever they are
};

/// What cannot be read limits nothing.
/// @param root  where proc and sys/fs/cgroup are
[[nodiscard]] CgroupLimits cgroup_limits(const std::filesystem::path& root = "/");

}  // namespace longrope::cli
