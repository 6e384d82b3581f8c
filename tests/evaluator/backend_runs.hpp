// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "evaluator/cpu/cpu_ops.hpp"
#include "evaluator/reference/reference_ops.hpp"
#include "evaluator/rotary_table.hpp"
#include "evaluator/transformer.hpp"
#include "tests/cuda_emulator/emulated_device.hpp"
#include "tests/evaluator/random_model.hpp"
#include "tests/gpu/gpu_backend.hpp"

namespace longrope::tests {

/// How one document is run.
struct RunSettings {
    std::vector<double> factors;
    std::uint32_t start_tokens = 0;
    double attention_scale = 1.0;
};

inline std::vector<float> token_nll(const evaluator::ModelConfig& config,
                                    evaluator::Transformer& transformer,
                                    const std::vector<std::int32_t>& tokens,
                                    const RunSettings& run) {
    const evaluator::RotaryTable rotary{{.theta = config.rope_theta,
                                         .rotary_dim = config.rotary_dim,
                                         .factors = run.factors,
                                         .start_tokens = run.start_tokens,
                                         .attention_scale = run.attention_scale},
                                        static_cast<std::int64_t>(tokens.size())};
    return transformer.token_nll(tokens, rotary);
}

inline std::vector<float> token_nll(const evaluator::ModelFolder& model, evaluator::DeviceOps& ops,
                                    const std::vector<std::int32_t>& tokens,
                                    const RunSettings& run) {
    evaluator::Transformer transformer{model, ops};
    return token_nll(model.config(), transformer, tokens, run);
}

inline std::unique_ptr<evaluator::DeviceOps> cpu_ops(
    std::uint32_t threads = 1, std::int64_t chunk_rows = 0,
    evaluator::Precision precision = evaluator::Precision::f32) {
    return evaluator::cpu::make_cpu_ops(
        {.instruction_set = evaluator::cpu::choose_instruction_set(tested_isa()),
         .precision = precision,
         .threads = threads,
         .chunk_rows = chunk_rows});
}

/// A backend that each test of the forward pass's properties runs on.
struct Backend {
    std::string name;
    std::function<std::unique_ptr<evaluator::DeviceOps>(const evaluator::ModelConfig&)> make;
    /// Of a loss between a document and a longer one that begins with it. On a GPU NVIDIA's
    /// libraries may take other kernels for fewer rows, whose sums are rounded elsewhere.
    double prefix_tolerance = 0.0;
};

/// Components of a head that every backend serves: cuDNN's are multiples of 8.
inline constexpr std::int64_t any_backends_head_dim = 16;

inline std::vector<Backend> backends() {
    std::vector<Backend> all{
        {"reference",
         [](const evaluator::ModelConfig& /*config*/) {
             return evaluator::reference::make_reference_ops(evaluator::Precision::f32);
         }},
        {"cpu", [](const evaluator::ModelConfig& /*config*/) { return cpu_ops(); }}};
#if !defined(__SANITIZE_THREAD__)  // see ../cuda_emulator/CMakeLists.txt
    all.push_back({"cuda on the emulator", [](const evaluator::ModelConfig& config) {
                       return cuda_emulator::emulated_ops(config, 1000);
                   }});
#endif
    if (const GpuBackend gpu = gpu_backend(); gpu.module != nullptr) {
        all.push_back(
            {"cuda",
             [gpu](const evaluator::ModelConfig& config) {
                 return gpu.module->open({.device = 0, .model = config, .longest = 1000}).ops;
             },
             0.05});
    }
    return all;
}

inline double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
    if (a.size() != b.size()) return INFINITY;
    double largest = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        const double difference = std::abs(double{a[i]} - double{b[i]});
        if (!(difference <= largest)) largest = difference;  // a NaN is kept
    }
    return largest;
}

inline double root_mean_square(const std::vector<float>& a, const std::vector<float>& b) {
    double sum = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - double{b[i]}, 2);
    return std::sqrt(sum / static_cast<double>(a.size()));
}

}  // namespace longrope::tests
