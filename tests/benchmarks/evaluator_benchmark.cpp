// SPDX-License-Identifier: Apache-2.0
// How fast a backend scores one document of a model folder, and what share that is of the
// multiply-adds that the core can do. A program to run by hand, not a test.
//
//   evaluator_benchmark MODEL_FOLDER POSITIONS [--backend cpu|reference] [--threads N] [--isa NAME]
//                       [--precision f32|bf16] [--repeat N]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <cxxopts.hpp>
#include <exception>
#include <memory>
#include <random>
#include <vector>

#include "evaluator/cost_estimate.hpp"
#include "evaluator/cpu/cpu_ops.hpp"
#include "evaluator/reference/reference_ops.hpp"
#include "evaluator/transformer.hpp"
#include "tests/benchmarks/multiply_add_peak.hpp"
#include "tests/benchmarks/timed_ops.hpp"

namespace {

using namespace std::chrono_literals;
namespace le = longrope::evaluator;

/// CPU seconds of the whole process: on a shared machine they mean more than wall time.
double cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

cxxopts::Options options() {
    cxxopts::Options result{"evaluator_benchmark", "Times the evaluation of one document"};
    result.add_options()("model", "model folder", cxxopts::value<std::string>())(
        "positions", "length of the document", cxxopts::value<std::int64_t>())(
        "backend", "cpu or reference", cxxopts::value<std::string>()->default_value("cpu"))(
        "threads", "threads", cxxopts::value<std::uint32_t>()->default_value("1"))(
        "isa", "instruction set", cxxopts::value<std::string>()->default_value("auto"))(
        "precision", "f32 or bf16", cxxopts::value<std::string>()->default_value("f32"))(
        "repeat", "runs; the fastest counts", cxxopts::value<int>()->default_value("5"));
    result.parse_positional({"model", "positions"});
    result.positional_help("MODEL_FOLDER POSITIONS");
    return result;
}

void run(const cxxopts::ParseResult& given) {
    const le::ModelFolder model{given["model"].as<std::string>()};
    const le::ModelConfig& config = model.config();
    const auto positions = given["positions"].as<std::int64_t>();
    const auto threads = given["threads"].as<std::uint32_t>();
    const le::Precision precision = le::parse_precision(given["precision"].as<std::string>());
    const le::cpu::InstructionSet isa =
        le::cpu::choose_instruction_set(given["isa"].as<std::string>());

    longrope::benchmarks::TimedOps ops{
        given["backend"].as<std::string>() == "reference"
            ? le::reference::make_reference_ops(precision)
            : le::cpu::make_cpu_ops(
                  {.instruction_set = isa, .precision = precision, .threads = threads})};
    le::Transformer transformer{model, ops};

    std::mt19937 random{1};
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(positions));
    for (std::int32_t& token : tokens) {
        token = static_cast<std::int32_t>(random() % config.vocabulary);
    }
    const std::vector<double> factors(config.rotary_pairs(), 1.0);

    double best_wall = 1e30;
    double best_cpu = 1e30;
    for (int i = 0; i < given["repeat"].as<int>(); ++i) {
        ops.begin();
        const double wall = wall_seconds();
        const double cpu = cpu_seconds();
        const le::RotaryTable rotary{
            {.theta = config.rope_theta, .rotary_dim = config.rotary_dim, .factors = factors},
            positions};
        static_cast<void>(transformer.token_nll(tokens, rotary));
        best_cpu = std::min(best_cpu, cpu_seconds() - cpu);
        best_wall = std::min(best_wall, wall_seconds() - wall);
        ops.end();
    }

    const le::CostEstimate cost =
        le::estimate_cost(config, static_cast<std::uint64_t>(positions), precision, threads);
    const double peak = longrope::benchmarks::multiply_add_peak(isa);
    const double total = cost.linear_flop + cost.attention_flop + cost.vocabulary_flop;
    fmt::print("{} positions, {:.2f} GFLOP ({:.0f} % attention), peak memory about {:.1f} MiB\n",
               positions, 1e-9 * total, 100.0 * cost.attention_flop / total,
               static_cast<double>(cost.peak_bytes) / 1048576.0);
    fmt::print("wall {:.2f} ms  CPU {:.2f} ms  {:.0f} tokens/s  {:.1f} GFLOP/s of CPU time\n",
               1e3 * best_wall, 1e3 * best_cpu, static_cast<double>(positions) / best_wall,
               1e-9 * total / best_cpu);
    fmt::print("{:.1f} % of {:.1f} GFLOP/s, the {} multiply-adds of one core\n",
               1e-7 * total / best_cpu / peak, peak, le::cpu::instruction_set_name(isa));
    ops.print();
}

}  // namespace

int main(int argc, char** argv) {
    try {
        cxxopts::Options accepted = options();
        const cxxopts::ParseResult given = accepted.parse(argc, argv);
        if (given.count("positions") == 0) {
            fmt::print(stderr, "{}", accepted.help());
            return 2;
        }
        run(given);
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "evaluator_benchmark: {}\n", error.what());
        return 1;
    }
}
