// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace longrope::cli {

/// What this machine offers to CPU evaluators.
struct Machine {
    std::string cpu;                 ///< model name
    std::uint32_t cores = 1;         ///< that this process may run on
    std::uint64_t memory_bytes = 0;  ///< installed
    std::uint64_t available_bytes = 0;
    std::string instruction_set;  ///< baseline, avx2, avx512: what the kernels would use
};
[[nodiscard]] Machine this_machine();

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
