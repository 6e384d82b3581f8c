// SPDX-License-Identifier: Apache-2.0
#include "cli/machine.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <stdlib.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "cli/cgroup_limits.hpp"
#include "evaluator/cpu/instruction_set.hpp"
#include "worker/core_set.hpp"

namespace longrope::cli {
namespace {

namespace fs = std::filesystem;

/// The text after the colon of the first line that starts with `key`.
std::string proc_value(const fs::path& file, const std::string& key) {
    std::ifstream in{file};
    for (std::string line; std::getline(in, line);) {
        if (!line.starts_with(key)) continue;
        const std::size_t value = line.find_first_not_of(" \t", line.find(':') + 1);
        return value == std::string::npos ? "" : line.substr(value);
    }
    return "";
}

std::uint64_t memory_value(const fs::path& root, const std::string& key) {
    const std::string kilobytes = proc_value(root / "proc/meminfo", key);
    return kilobytes.empty() ? 0 : std::stoull(kilobytes) * 1024;
}

}  // namespace

Machine this_machine(const fs::path& root) {
    Machine machine;
    machine.cpu = proc_value(root / "proc/cpuinfo", "model name");
    machine.memory_bytes = memory_value(root, "MemTotal");
    machine.available_bytes = memory_value(root, "MemAvailable");
    if (const auto cores = worker::CoreSet::of().cores(); !cores.empty()) {
        machine.cores = static_cast<std::uint32_t>(cores.size());
    }
    using evaluator::cpu::detect_instruction_set;
    using evaluator::cpu::instruction_set_name;
    machine.instruction_set = instruction_set_name(detect_instruction_set());
    const CgroupLimits limits = cgroup_limits(root);
    const bool unknown = machine.memory_bytes == 0;
    if (limits.memory_bytes && (unknown || *limits.memory_bytes < machine.memory_bytes)) {
        machine.memory_limit = limits.memory_bytes;
    }
    if (limits.cores && *limits.cores < machine.cores) machine.core_limit = limits.cores;
    return machine;
}

void undo_openmp_binding() {
    bool bound = false;
    for (const char* variable : {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"}) {
        bound = bound || std::getenv(variable) != nullptr;
        ::unsetenv(variable);
    }
    if (!bound) return;
    worker::CoreSet set;
    for (int place = 0; place < omp_get_num_places(); ++place) {
        std::vector<int> processors(static_cast<std::size_t>(omp_get_place_num_procs(place)));
        omp_get_place_proc_ids(place, processors.data());
        for (const int processor : processors) set.insert(processor);
    }
    if (!set.empty()) static_cast<void>(set.bind());  // else it stays where it is
}

double assumed_flops_per_core(const std::string& instruction_set) {
    if (instruction_set == "avx512") return 100e9;
    if (instruction_set == "avx2") return 50e9;
    return 10e9;
}

std::string spell_bytes(std::uint64_t bytes) {
    static constexpr std::array<const char*, 5> units{"B", "KiB", "MiB", "GiB", "TiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    for (; value >= 1024.0 && unit + 1 < units.size(); ++unit) value /= 1024.0;
    return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

}  // namespace longrope::cli
