// SPDX-License-Identifier: Apache-2.0
#include "cli/cgroup_limits.hpp"

#include <doctest/doctest.h>

#include <string>

#include "cli/machine.hpp"
#include "tests/evaluator/temporary_folder.hpp"

namespace longrope::cli {
namespace {

constexpr std::uint64_t gibibyte = std::uint64_t{1} << 30U;

/// The part of a system that tells limits, 512 GiB of memory in it.
class FakeSystem {
public:
    FakeSystem() { write("proc/meminfo", "MemTotal: 536870912 kB\nMemAvailable: 4194304 kB\n"); }

    void write(const std::string& name, const std::string& text) const {
        std::filesystem::create_directories((root() / name).parent_path());
        folder_.write(name, text);
    }
    [[nodiscard]] const std::filesystem::path& root() const { return folder_.path(); }

private:
    tests::TemporaryFolder folder_;
};

TEST_CASE("a job has what the least of the control groups above it allows") {
    const FakeSystem system;
    system.write("proc/self/cgroup", "0::/system.slice/slurmstepd.scope/job_7/step_0/user\n");
    const std::string scope = "sys/fs/cgroup/system.slice/slurmstepd.scope";
    system.write("sys/fs/cgroup/system.slice/memory.max", "137438953472\n");
    system.write("sys/fs/cgroup/system.slice/cpu.max", "800000 100000\n");
    system.write(scope + "/job_7/memory.max", "17179869184\n");
    system.write(scope + "/job_7/cpu.max", "max 100000\n");
    system.write(scope + "/job_7/step_0/memory.max", "max\n");
    system.write(scope + "/job_7/step_0/cpu.max", "150000 100000\n");
    system.write(scope + "/job_8/memory.max", "1024\n");
    const CgroupLimits limits = cgroup_limits(system.root());
    CHECK(limits.memory_bytes == 16 * gibibyte);
    CHECK(limits.cores == 1.5);
}

TEST_CASE("control groups of version 1 limit too") {
    for (const char* cpu : {"cpu", "cpu,cpuacct", "cpuacct,cpu"}) {
        INFO(cpu);
        const FakeSystem system;
        system.write("proc/self/cgroup",
                     "11:memory:/slurm/uid_0/job_7\n3:" + std::string{cpu} +
                         ":/slurm:odd\n2:cpuset:/other\n1:name=systemd:/\n0::/\n");
        system.write("sys/fs/cgroup/cpu/other/cpu.cfs_quota_us", "100000\n");
        system.write("sys/fs/cgroup/cpu/other/cpu.cfs_period_us", "100000\n");
        system.write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        system.write("sys/fs/cgroup/memory/slurm/uid_0/job_7/memory.limit_in_bytes", "8589934592");
        system.write("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
        system.write("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
        system.write("sys/fs/cgroup/cpu/slurm:odd/cpu.cfs_quota_us", "400000\n");
        system.write("sys/fs/cgroup/cpu/slurm:odd/cpu.cfs_period_us", "100000\n");
        const CgroupLimits limits = cgroup_limits(system.root());
        CHECK(limits.memory_bytes == 8 * gibibyte);
        CHECK(limits.cores == 4.0);
    }
}

TEST_CASE("a container that is told the path of its host finds its limits where it sees them") {
    for (const char* path : {"/docker/0123", "/", "/../../other"}) {
        INFO(path);
        const FakeSystem system;
        system.write("proc/self/cgroup", "0::" + std::string{path} + "\n");
        system.write("sys/fs/cgroup/memory.max", "2147483648\n");
        CHECK(cgroup_limits(system.root()).memory_bytes == 2 * gibibyte);
    }
}

TEST_CASE("a system without control groups, or with unlimited ones, limits nothing") {
    const FakeSystem system;
    CHECK_FALSE(cgroup_limits(system.root()).memory_bytes);
    system.write("proc/self/cgroup", "0::/user.slice\nnonsense\n");
    system.write("sys/fs/cgroup/user.slice/memory.max", "max\n");
    system.write("sys/fs/cgroup/user.slice/cpu.max", "max 100000\n");
    const CgroupLimits limits = cgroup_limits(system.root());
    CHECK_FALSE(limits.memory_bytes);
    CHECK_FALSE(limits.cores);
}

TEST_CASE("a machine is no larger than its job's limits, and they are none beyond it") {
    const FakeSystem system;
    Machine machine = this_machine(system.root());
    CHECK(machine.memory_bytes == 512 * gibibyte);
    CHECK(machine.available_bytes == 4 * gibibyte);
    CHECK_FALSE(machine.memory_limit);
    CHECK(machine.memory_room().bytes == 512 * gibibyte);
    CHECK_FALSE(machine.memory_room().limited);
    CHECK(machine.usable_cores() == machine.cores);

    system.write("proc/self/cgroup", "0::/\n");
    system.write("sys/fs/cgroup/memory.max", "17179869184\n");
    system.write("sys/fs/cgroup/cpu.max", "50000 100000\n");
    machine = this_machine(system.root());
    CHECK(machine.memory_bytes == 512 * gibibyte);
    CHECK(machine.memory_limit == 16 * gibibyte);
    CHECK(machine.memory_room().bytes == 16 * gibibyte);
    CHECK(machine.memory_room().limited);
    CHECK(machine.usable_cores() == 0.5);

    system.write("sys/fs/cgroup/memory.max", "1099511627776\n");
    system.write("sys/fs/cgroup/cpu.max", "1000000000 100000\n");
    machine = this_machine(system.root());
    CHECK_FALSE(machine.memory_limit);
    CHECK_FALSE(machine.core_limit);
}

}  // namespace
}  // namespace longrope::cli
