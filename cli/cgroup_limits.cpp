// SPDX-License-Identifier: Apache-2.0
#include "cli/cgroup_limits.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <vector>

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

/// The first numbers of a file; none from the first that is none, as "max", or if it is not there.
std::vector<double> numbers_of(const fs::path& file) {
    std::vector<double> numbers;
    std::ifstream in{file};
    for (double number = 0.0; in >> number;) numbers.push_back(number);
    return numbers;
}

template <typename Value>
void lower(std::optional<Value>& limit, Value to) {
    limit = limit ? std::min(*limit, to) : to;
}

void lower_memory(CgroupLimits& limits, const fs::path& file) {
    std::uint64_t bytes = 0;
    if (std::ifstream{file} >> bytes) lower(limits.memory_bytes, bytes);
}

/// Microseconds of all cores together in each period; -1 and "max" are no limit.
void lower_cores(CgroupLimits& limits, const std::vector<double>& quota_and_period) {
    if (quota_and_period.size() < 2 || quota_and_period[0] <= 0 || quota_and_period[1] <= 0) return;
    lower(limits.cores, quota_and_period[0] / quota_and_period[1]);
}

/// What one group says, by the names of both versions: a folder has the files of one.
void lower_by(CgroupLimits& limits, const fs::path& group) {
    lower_memory(limits, group / "memory.max");
    lower_memory(limits, group / "memory.limit_in_bytes");
    lower_cores(limits, numbers_of(group / "cpu.max"));
    std::vector<double> quota = numbers_of(group / "cpu.cfs_quota_us");
    for (const double period : numbers_of(group / "cpu.cfs_period_us")) quota.push_back(period);
    lower_cores(limits, quota);
}

/// A group and all above it, up to where the hierarchy is mounted. A container sees its own group
/// there, and may be told of it by the path that the host has: what is not there is passed by.
void lower_by_all(CgroupLimits& limits, const fs::path& mount, const std::string& group) {
    fs::path path = fs::path{"/" + group}.lexically_normal();
    for (; path.has_relative_path(); path = path.parent_path()) {
        lower_by(limits, mount / path.relative_path());
    }
    lower_by(limits, mount);
}

}  // namespace

CgroupLimits cgroup_limits(const fs::path& root) {
    CgroupLimits limits;
    const fs::path mounts = root / "sys/fs/cgroup";  // where every distribution has them
    std::ifstream in{root / "proc/self/cgroup"};
    // "0::/user.slice" of version 2, "4:memory:/slurm" or "3:cpu,cpuacct:/slurm" of version 1
    for (std::string line; std::getline(in, line);) {
        const std::size_t first = line.find(':');
        const std::size_t second = line.find(':', first + 1);
        if (first == std::string::npos || second == std::string::npos) continue;
        const std::string group = line.substr(second + 1);
        // Controllers that are mounted together have a link each; version 2 names none here.
        const std::string controllers =
            fmt::format(",{},", line.substr(first + 1, second - first - 1));
        if (controllers == ",,") lower_by_all(limits, mounts, group);
        for (const char* name : {"cpu", "memory"}) {
            if (controllers.find(fmt::format(",{},", name)) != std::string::npos) {
                lower_by_all(limits, mounts / name, group);
            }
        }
    }
    return limits;
}

}  // namespace longrope::cli
