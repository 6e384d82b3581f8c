// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace longrope::cli {

/// Memory for all evaluators of a machine.
struct MemoryRoom {
    std::uint64_t bytes = 0;  ///< 0: unknown
    bool limited = false;     ///< by what this job is allowed; else by what the machine has
};

/// What this machine offers to CPU evaluators.
struct Machine {
    std::string cpu;                 ///< model name
    std::uint32_t cores = 1;         ///< that this process may run on
    std::uint64_t memory_bytes = 0;  ///< installed
    std::uint64_t available_bytes = 0;
    std::string instruction_set;  ///< baseline, avx2, avx512: what the kernels would use
    /// What this process's job may have where that is less than all ("cli/cgroup_limits.hpp").
    std::optional<std::uint64_t> memory_limit;
    std::optional<double> core_limit;

    [[nodiscard]] MemoryRoom memory_room() const noexcept {
        return {memory_limit.value_or(memory_bytes), memory_limit.has_value()};
    }
    /// That compute at a time, as a mean.
    [[nodiscard]] double usable_cores() const noexcept { return core_limit.value_or(cores); }
};
/// @param root  where proc and sys are
[[nodiscard]] Machine this_machine(const std::filesystem::path& root = "/");

/// Undoes what OpenMP's run time does before main where OMP_PROC_BIND, OMP_PLACES or
/// GOMP_CPU_AFFINITY is set, as by modules of clusters: it binds this thread to the first of its
/// places, and all that inherit from it, the evaluators of every rank of the node. From here on the
/// process may run on all of the places, and its children do not hear of them.
void undo_openmp_binding();

/// Sustained single-precision rate assumed per core for estimates, in FLOP/s.
[[nodiscard]] double assumed_flops_per_core(const std::string& instruction_set);

/// Sustained rate assumed per core for packing streamed weights, in weights per second
/// (docs/performance.md).
inline constexpr double assumed_weights_packed_per_second = 0.5e9;

/// "1.5 GiB".
[[nodiscard]] std::string spell_bytes(std::uint64_t bytes);

}  // namespace longrope::cli
