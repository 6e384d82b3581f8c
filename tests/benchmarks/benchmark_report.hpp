// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "tests/benchmarks/timed_ops.hpp"

namespace longrope::benchmarks {

/// One document of one length, loss included: the fastest of several runs.
struct Measurement {
    std::string precision;
    std::int64_t positions = 0;
    double wall_seconds = 0.0;
    double cpu_seconds = 0.0;
    double sum_nll = 0.0;  ///< nats, over positions - 1 tokens
    double flop = 0.0;
    double peak_gflops = 0.0;           ///< multiply-adds of one core in this precision
    std::uint64_t resident_bytes = 0;   ///< the most that this process has held so far
    std::uint64_t estimated_bytes = 0;  ///< what `search --check` says
    std::map<std::string, OperationCost> operations{};
};

/// What the measurements of one program have in common.
struct BenchmarkReport {
    std::string cpu;
    std::string model;
    std::string documents;  ///< empty: random tokens
    std::string backend;
    std::string instruction_set;
    std::string weights;  ///< resident or streamed
    std::string onednn;
    std::uint32_t threads = 1;
    std::vector<Measurement> measurements{};
};

/// A table of lengths, and for each the operations that take 0.5 % of the time or more.
[[nodiscard]] std::string as_table(const BenchmarkReport& report);
/// One JSON object on one line.
[[nodiscard]] std::string as_json(const BenchmarkReport& report);

}  // namespace longrope::benchmarks
