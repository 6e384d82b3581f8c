// SPDX-License-Identifier: Apache-2.0
// What scripts/check_gpu.sh measures on a GPU: a row of attention at the end of a long document
// against the CPU, and how fast documents are scored by a model of LLaMA2-7B's shapes with few
// layers and random weights. Prints a JSON object after each result, the last one with all of them.
//
//   gpu_check [--row-positions 2048000] [--positions 4096,32768,131072,262144] [--layers 4]
//
// Exit status: 0; 1 the row is wrong, or an error; 77 no GPU.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <cxxopts.hpp>
#include <exception>
#include <fstream>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "evaluator/cost_estimate.hpp"
#include "evaluator/model/model_folder.hpp"
#include "evaluator/rotary_table.hpp"
#include "evaluator/transformer.hpp"
#include "tests/evaluator/temporary_folder.hpp"
#include "tests/gpu/attention_row.hpp"
#include "tests/gpu/gpu_backend.hpp"
#include "tests/gpu/gpu_limits.hpp"

namespace {

namespace le = longrope::evaluator;
namespace lt = longrope::tests;
using Clock = std::chrono::steady_clock;

constexpr int no_gpu = 77;
constexpr std::int64_t hidden = 4096;
constexpr std::int64_t inner = 11008;
constexpr std::int64_t vocabulary = 32000;

double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
}

/// Writes a model of LLaMA2-7B's shapes, its weights a repeated block of small random bfloat16.
void write_model(const lt::TemporaryFolder& folder, std::int64_t layers) {
    folder.write("config.json",
                 fmt::format(R"({{"model_type":"llama","hidden_size":{},"num_hidden_layers":{},)"
                             R"("num_attention_heads":32,"num_key_value_heads":32,"head_dim":128,)"
                             R"("intermediate_size":{},"vocab_size":{},"rope_theta":10000.0,)"
                             R"("tie_word_embeddings":false,"rms_norm_eps":1e-5,)"
                             R"("hidden_act":"silu","max_position_embeddings":4096}})",
                             hidden, layers, inner, vocabulary));
    boost::json::object header;
    std::uint64_t end = 0;
    const auto add = [&](const std::string& name, std::vector<std::int64_t> shape) {
        std::uint64_t bytes = 2;
        for (const std::int64_t extent : shape) bytes *= static_cast<std::uint64_t>(extent);
        header[name] = {{"dtype", "BF16"},
                        {"shape", boost::json::value_from(shape)},
                        {"data_offsets", {end, end + bytes}}};
        end += bytes;
    };
    add("model.embed_tokens.weight", {vocabulary, hidden});
    for (std::int64_t i = 0; i < layers; ++i) {
        const std::string layer = fmt::format("model.layers.{}.", i);
        add(layer + "input_layernorm.weight", {hidden});
        for (const char* matrix : {"q_proj", "k_proj", "v_proj", "o_proj"}) {
            add(layer + "self_attn." + matrix + ".weight", {hidden, hidden});
        }
        add(layer + "post_attention_layernorm.weight", {hidden});
        add(layer + "mlp.gate_proj.weight", {inner, hidden});
        add(layer + "mlp.up_proj.weight", {inner, hidden});
        add(layer + "mlp.down_proj.weight", {hidden, inner});
    }
    add("model.norm.weight", {hidden});
    add("lm_head.weight", {vocabulary, hidden});

    std::mt19937 random{1};
    std::vector<std::uint16_t> block(std::size_t{1} << 20U);
    for (std::uint16_t& value : block) {
        const double uniform = static_cast<double>(random()) / 2147483648.0 - 1.0;
        value = le::bfloat16_bits(static_cast<float>(0.03 * uniform));
    }
    const std::string text = boost::json::serialize(header);
    const std::uint64_t length = text.size();
    std::ofstream file{folder.path() / "model.safetensors", std::ios::binary};
    file.write(reinterpret_cast<const char*>(&length), sizeof length);
    file << text;
    const std::uint64_t block_bytes = block.size() * sizeof block.front();
    for (std::uint64_t written = 0; written < end; written += block_bytes) {
        file.write(reinterpret_cast<const char*>(block.data()),
                   static_cast<std::streamsize>(std::min(block_bytes, end - written)));
    }
    if (!file.flush()) {
        throw std::runtime_error{
            fmt::format("cannot write {} bytes below {}: set TMPDIR", end, folder.path().string())};
    }
}

boost::json::object measure(le::Transformer& transformer, const le::ModelConfig& config,
                            std::int64_t positions) {
    std::mt19937 random{2};
    std::vector<std::int32_t> tokens(static_cast<std::size_t>(positions));
    for (std::int32_t& token : tokens) {
        token = static_cast<std::int32_t>(random() % static_cast<std::uint32_t>(vocabulary));
    }
    const std::vector<double> factors(config.rotary_pairs(), 1.0);
    const le::RotaryTable rotary{
        {.theta = config.rope_theta, .rotary_dim = config.rotary_dim, .factors = factors},
        positions};
    const Clock::time_point begin = Clock::now();
    const std::vector<float> losses = transformer.token_nll(tokens, rotary);
    const double seconds = seconds_since(begin);
    double sum = 0.0;
    for (const float loss : losses) sum += double{loss};
    const double flop = le::count_flop(config, static_cast<std::uint64_t>(positions)).total();
    return {{"positions", positions},
            {"seconds", seconds},
            {"tokens_per_second", static_cast<double>(positions) / seconds},
            {"flop", flop},
            {"tflop_per_second", flop / seconds * 1e-12},
            {"mean_nll", sum / static_cast<double>(losses.size())}};
}

/// Calls on_row with each length's as it goes.
void throughput(const lt::GpuBackend& gpu, std::vector<std::int64_t> lengths, std::int64_t layers,
                const std::function<void(boost::json::object)>& on_row) {
    std::ranges::sort(lengths);
    const lt::TemporaryFolder folder;
    write_model(folder, layers);
    const le::ModelFolder model{folder.path()};
    const auto opened = gpu.module->open({.device = gpu.device,
                                          .model = model.config(),
                                          .longest = static_cast<std::uint64_t>(lengths.back())});
    le::Transformer transformer{model, *opened.ops};
    for (const std::int64_t positions : lengths) {
        // The first time makes cuDNN's plans, which are other ones for each length.
        static_cast<void>(measure(transformer, model.config(), positions));
        boost::json::object row = measure(transformer, model.config(), positions);
        fmt::print(stderr, "gpu_check: {} positions in {:.2f} s\n", positions,
                   row.at("seconds").as_double());
        on_row(std::move(row));
    }
}

boost::json::object attention_row(const lt::GpuBackend& gpu, std::int64_t positions) {
    le::ModelConfig config;  // no weights of it are there: only the row's own
    config.hidden_size = config.intermediate_size = 128;  // of the row's hidden states
    config.layers = 1;
    config.heads = config.kv_heads = 8;  // what LLaMA2-7B has on the device at a time
    config.head_dim = config.rotary_dim = 128;
    config.vocabulary = 1000;
    const Clock::time_point begin = Clock::now();
    const auto opened = gpu.module->open(
        {.device = gpu.device, .model = config, .longest = static_cast<std::uint64_t>(positions)});
    const lt::AttentionRowResult row = lt::check_attention_row(
        *opened.ops, {.positions = positions, .heads = config.heads, .kv_heads = config.kv_heads});
    return {{"positions", positions},
            {"needles", row.needles},
            {"largest_error", row.largest_error},
            {"tolerance", lt::attention_row_tolerance},
            {"least_needle_weight", row.least_needle},
            {"passed", row.largest_error < lt::attention_row_tolerance},
            {"seconds", seconds_since(begin)}};
}

int run(int argc, char** argv) {
    cxxopts::Options options{"gpu_check", "Checks and times the GPU backend on this machine's GPU"};
    options.add_options()("row-positions", "length of the document of the attention row; 0: none",
                          cxxopts::value<std::int64_t>()->default_value("2048000"))(
        "positions", "lengths that are timed",
        cxxopts::value<std::vector<std::int64_t>>()->default_value("4096,32768,131072,262144"))(
        "layers", "of the timed model; LLaMA2-7B has 32",
        cxxopts::value<std::int64_t>()->default_value("4"))("help", "this text");
    const auto given = options.parse(argc, argv);
    if (given.count("help") > 0) {
        fmt::print("{}", options.help());
        return 0;
    }
    const lt::GpuBackend gpu = lt::gpu_backend();
    if (gpu.module == nullptr) {
        fmt::print(stderr, "gpu_check: no GPU: {}\n", gpu.reason);
        return no_gpu;
    }
    const le::cuda::DeviceFacts& device =
        gpu.probe.devices.at(static_cast<std::size_t>(gpu.device));
    boost::json::object report{{"device", device.name},
                               {"architecture", device.architecture},
                               {"memory_bytes", device.total_bytes},
                               {"driver_version", gpu.probe.driver_version},
                               {"runtime_version", gpu.probe.runtime_version}};
    const auto print = [&report] {  // whole each time: whoever ends this early keeps the last
        fmt::print("{}\n", boost::json::serialize(report));
        std::fflush(stdout);
    };
    bool passed = true;
    const auto attempt = [&](const auto& part) {  // what another part finds counts all the same
        try {
            part();
        } catch (const std::exception& error) {
            fmt::print(stderr, "gpu_check: {}\n", error.what());
            report["error"] = error.what();
            passed = false;
        }
    };
    const auto row_positions = given["row-positions"].as<std::int64_t>();
    report["attention_row"] = nullptr;
    report["layers"] = given["layers"].as<std::int64_t>();
    report["throughput"].emplace_array();
    if (row_positions > 0) {
        attempt([&] {
            report["attention_row"] = attention_row(gpu, row_positions);
            passed = report["attention_row"].at("passed").as_bool();
        });
        print();
    }
    attempt([&] {
        throughput(gpu, given["positions"].as<std::vector<std::int64_t>>(),
                   given["layers"].as<std::int64_t>(), [&](boost::json::object row) {
                       report["throughput"].as_array().push_back(std::move(row));
                       print();
                   });
    });
    print();
    return passed ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        fmt::print(stderr, "gpu_check: {}\n", error.what());
        return 1;
    }
}
