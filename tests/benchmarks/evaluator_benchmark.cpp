// SPDX-License-Identifier: Apache-2.0
// How fast a backend scores a document of a model folder, where the time goes, and what share that
// is of the multiply-adds that the core can do. A program to run by hand, not a test.
//
//   evaluator_benchmark MODEL_FOLDER [--positions 512,2048,8192] [--long] [--precision f32,bf16]
//                       [--documents FILE --document N] [--backend cpu|reference] [--threads N]
//                       [--isa NAME] [--weights resident|streamed] [--repeat N] [--warm-up N]
//                       [--json FILE]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cxxopts.hpp>
#include <exception>
#include <fstream>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "evaluator/cost_estimate.hpp"
#include "evaluator/cpu/cpu_ops.hpp"
#include "evaluator/cpu/matrix_product.hpp"
#include "evaluator/documents.hpp"
#include "evaluator/reference/reference_ops.hpp"
#include "evaluator/transformer.hpp"
#include "tests/benchmarks/benchmark_report.hpp"
#include "tests/benchmarks/multiply_add_peak.hpp"
#include "tests/benchmarks/timed_ops.hpp"

namespace {

namespace le = longrope::evaluator;
namespace lb = longrope::benchmarks;

constexpr std::int64_t long_positions = 16384;

double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

/// What follows the first ": " or ":" and blanks on the line of `path` that begins with `key`.
std::string line_of(const char* path, std::string_view key) {
    std::ifstream file{path};
    for (std::string line; std::getline(file, line);) {
        if (!line.starts_with(key)) continue;
        const std::size_t value = line.find_first_not_of(": \t", line.find(':'));
        if (value != std::string::npos) return line.substr(value);
    }
    return {};
}

/// The most memory that this process has held; getrusage() would count its parent's in, if larger.
std::uint64_t resident_bytes() {
    const std::string kibibytes = line_of("/proc/self/status", "VmHWM");
    return kibibytes.empty() ? 0 : 1024 * std::stoull(kibibytes);
}

std::string cpu_name() {
    const std::string name = line_of("/proc/cpuinfo", "model name");
    return name.empty() ? "CPU" : name;
}

cxxopts::Options options() {
    cxxopts::Options result{"evaluator_benchmark", "Times the evaluation of a document"};
    result.add_options()("model", "model folder", cxxopts::value<std::string>())(
        "positions", "lengths of the document",
        cxxopts::value<std::vector<std::int64_t>>()->default_value("512,2048,8192"))(
        "long", "16,384 positions too")(
        "precision", "f32, bf16 or both with a comma",
        cxxopts::value<std::vector<std::string>>()->default_value("f32"))(
        "documents", "documents file; without: random tokens",
        cxxopts::value<std::string>()->default_value(""))(
        "document", "its index in the file", cxxopts::value<std::uint32_t>()->default_value("0"))(
        "backend", "cpu or reference", cxxopts::value<std::string>()->default_value("cpu"))(
        "threads", "threads", cxxopts::value<std::uint32_t>()->default_value("1"))(
        "isa", "instruction set", cxxopts::value<std::string>()->default_value("auto"))(
        "weights", "resident or streamed",
        cxxopts::value<std::string>()->default_value("resident"))(
        "repeat", "runs; the fastest counts", cxxopts::value<int>()->default_value("3"))(
        "warm-up", "positions of a run before, that is not counted; 0: none",
        cxxopts::value<std::int64_t>()->default_value("512"))(
        "json", "JSON into this file, - for stdout and no table",
        cxxopts::value<std::string>()->default_value(""))("help", "this text");
    result.parse_positional({"model"});
    result.positional_help("MODEL_FOLDER");
    return result;
}

/// Where the tokens come from.
class Text {
public:
    Text(const std::string& documents, std::uint32_t document, std::uint32_t vocabulary)
        : document_{document}, vocabulary_{vocabulary} {
        if (documents.empty()) return;
        documents_ = std::make_unique<le::Documents>(documents);
        documents_->check_vocabulary(vocabulary);
    }

    [[nodiscard]] std::vector<std::int32_t> tokens(std::int64_t positions) const {
        if (documents_) {
            return documents_->input(document_, static_cast<std::uint64_t>(positions));
        }
        std::mt19937 random{1};
        std::vector<std::int32_t> result(static_cast<std::size_t>(positions));
        for (std::int32_t& token : result) {
            token = static_cast<std::int32_t>(random() % vocabulary_);
        }
        return result;
    }

private:
    std::unique_ptr<le::Documents> documents_;
    std::uint32_t document_;
    std::uint32_t vocabulary_;
};

double sum_nll(le::Transformer& transformer, const le::ModelConfig& config,
               const std::vector<std::int32_t>& tokens) {
    const std::vector<double> factors(config.rotary_pairs(), 1.0);
    const le::RotaryTable rotary{
        {.theta = config.rope_theta, .rotary_dim = config.rotary_dim, .factors = factors},
        static_cast<std::int64_t>(tokens.size())};
    double sum = 0.0;
    for (const float nll : transformer.token_nll(tokens, rotary)) sum += double{nll};
    return sum;
}

lb::Measurement measure(le::Transformer& transformer, lb::TimedOps& ops,
                        const le::ModelConfig& config, const std::vector<std::int32_t>& tokens,
                        int repeat) {
    lb::Measurement found{.positions = static_cast<std::int64_t>(tokens.size()),
                          .wall_seconds = 1e30,
                          .cpu_seconds = 1e30};
    ops.forget();
    for (int i = 0; i < repeat; ++i) {
        ops.begin();
        const double wall = wall_seconds();
        const double cpu = lb::cpu_seconds();
        found.sum_nll = sum_nll(transformer, config, tokens);
        found.cpu_seconds = std::min(found.cpu_seconds, lb::cpu_seconds() - cpu);
        found.wall_seconds = std::min(found.wall_seconds, wall_seconds() - wall);
        ops.end();
    }
    found.operations = ops.costs();
    found.resident_bytes = resident_bytes();
    return found;
}

std::vector<std::int64_t> lengths(const cxxopts::ParseResult& given) {
    auto result = given["positions"].as<std::vector<std::int64_t>>();
    if (given.count("long") > 0) result.push_back(long_positions);
    std::ranges::sort(result);  // the most memory held so far is that of the longest so far
    if (result.front() < 2) {
        throw std::invalid_argument{
            fmt::format("--positions has {}: a document needs 2 or more", result.front())};
    }
    return result;
}

lb::BenchmarkReport run(const cxxopts::ParseResult& given) {
    const le::ModelFolder model{given["model"].as<std::string>()};
    const le::ModelConfig& config = model.config();
    const auto threads = given["threads"].as<std::uint32_t>();
    const std::int64_t warm_up =
        std::min(given["warm-up"].as<std::int64_t>(), lengths(given).back());
    const le::cpu::InstructionSet isa =
        le::cpu::choose_instruction_set(given["isa"].as<std::string>());
    const le::WeightResidency residency =
        le::parse_weight_residency(given["weights"].as<std::string>());
    const Text text{given["documents"].as<std::string>(), given["document"].as<std::uint32_t>(),
                    config.vocabulary};

    lb::BenchmarkReport report{.cpu = cpu_name(),
                               .model = given["model"].as<std::string>(),
                               .documents = given["documents"].as<std::string>(),
                               .backend = given["backend"].as<std::string>(),
                               .instruction_set = le::cpu::instruction_set_name(isa),
                               .weights = given["weights"].as<std::string>(),
                               .onednn = le::cpu::MatrixLibrary::version(),
                               .threads = threads};
    for (const std::string& name : given["precision"].as<std::vector<std::string>>()) {
        const le::Precision precision = le::parse_precision(name);
        lb::TimedOps ops{
            report.backend == "reference"
                ? le::reference::make_reference_ops(precision)
                : le::cpu::make_cpu_ops(
                      {.instruction_set = isa, .precision = precision, .threads = threads})};
        le::Transformer transformer{model, ops, residency};
        if (warm_up > 1) static_cast<void>(sum_nll(transformer, config, text.tokens(warm_up)));
        for (const std::int64_t positions : lengths(given)) {
            lb::Measurement found = measure(transformer, ops, config, text.tokens(positions),
                                            std::max(1, given["repeat"].as<int>()));
            const le::CostEstimate cost =
                le::estimate_cost(config, static_cast<std::uint64_t>(positions),
                                  {.precision = precision,
                                   .threads = threads,
                                   .weights = residency,
                                   .stored_weight_bytes = model.stored_weight_bytes()});
            found.precision = name;
            found.flop = cost.flop.total();
            found.estimated_bytes = cost.peak_bytes;
            found.peak_gflops = lb::multiply_add_peak(isa, precision);
            report.measurements.push_back(std::move(found));
        }
    }
    return report;
}

void write(const lb::BenchmarkReport& report, const std::string& json) {
    if (json != "-") fmt::print("{}", lb::as_table(report));
    if (json.empty()) return;
    if (json == "-") {
        fmt::print("{}", lb::as_json(report));
        return;
    }
    std::ofstream file{json};
    file << lb::as_json(report) << std::flush;
    if (!file) throw std::runtime_error{fmt::format("cannot write {}", json)};
}

}  // namespace

int main(int argc, char** argv) {
    try {
        cxxopts::Options accepted = options();
        const cxxopts::ParseResult given = accepted.parse(argc, argv);
        if (given.count("help") > 0) {
            fmt::print("{}", accepted.help());
            return 0;
        }
        if (given.count("model") == 0) {
            fmt::print(stderr, "{}", accepted.help());
            return 2;
        }
        write(run(given), given["json"].as<std::string>());
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "evaluator_benchmark: {}\n", error.what());
        return 1;
    }
}
