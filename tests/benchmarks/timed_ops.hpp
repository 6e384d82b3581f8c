// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <ctime>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "evaluator/device_ops.hpp"

namespace longrope::benchmarks {

/// Passes every operation on and keeps, per kind, the thread CPU time of the calling thread in the
/// fastest run between begin() and end().
class TimedOps final : public evaluator::DeviceOps {
    using DeviceMatrix = evaluator::DeviceMatrix;
    using Prepared = evaluator::Prepared;

public:
    explicit TimedOps(std::unique_ptr<evaluator::DeviceOps> ops) : ops_{std::move(ops)} {}

    void begin() { run_.clear(); }
    void end() {
        for (const auto& [name, seconds] : run_) {
            const auto known = best_.find(name);
            if (known == best_.end() || seconds < known->second) best_[name] = seconds;
        }
    }
    void print() const {
        for (const auto& [name, seconds] : best_) {
            fmt::print("  {:<10} {:9.2f} ms\n", name, 1e3 * seconds);
        }
    }

    std::int64_t chunk_rows() const noexcept override { return ops_->chunk_rows(); }
    std::unique_ptr<Prepared> prepare_embedding(const evaluator::TensorView& table) override {
        return ops_->prepare_embedding(table);
    }
    std::unique_ptr<Prepared> prepare_matrix(
        std::span<const evaluator::TensorView> stacked) override {
        return ops_->prepare_matrix(stacked);
    }
    std::unique_ptr<Prepared> prepare_head(const evaluator::TensorView& weights) override {
        return ops_->prepare_head(weights);
    }
    std::unique_ptr<Prepared> prepare_vector(const evaluator::TensorView& values) override {
        return ops_->prepare_vector(values);
    }
    std::unique_ptr<Prepared> prepare_tokens(std::span<const std::int32_t> tokens) override {
        return ops_->prepare_tokens(tokens);
    }
    std::unique_ptr<Prepared> prepare_rotary(const evaluator::RotaryTable& table) override {
        return ops_->prepare_rotary(table);
    }
    evaluator::DeviceBuffer allocate(evaluator::Storage storage, std::int64_t rows,
                                     std::int64_t columns) override {
        return ops_->allocate(storage, rows, columns);
    }
    void embed(const Prepared& embedding, const Prepared& tokens, std::int64_t first_position,
               const DeviceMatrix& out) override {
        timed("embed", [&] { ops_->embed(embedding, tokens, first_position, out); });
    }
    void rms_norm(const DeviceMatrix& in, const Prepared& weight, float epsilon,
                  const DeviceMatrix& out) override {
        timed("rms_norm", [&] { ops_->rms_norm(in, weight, epsilon, out); });
    }
    void rms_norm_heads(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& weight,
                        float epsilon) override {
        timed("rms_norm", [&] { ops_->rms_norm_heads(heads, head_dim, weight, epsilon); });
    }
    void add_bias(const DeviceMatrix& rows, const Prepared& bias) override {
        timed("add_bias", [&] { ops_->add_bias(rows, bias); });
    }
    void matmul(const DeviceMatrix& in, const Prepared& weights, const DeviceMatrix& out) override {
        timed("matmul", [&] { ops_->matmul(in, weights, out); });
    }
    void matmul_add(const DeviceMatrix& in, const Prepared& weights,
                    const DeviceMatrix& sum) override {
        timed("matmul_add", [&] { ops_->matmul_add(in, weights, sum); });
    }
    void rotate(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& rotary,
                std::int64_t first_position) override {
        timed("rotate", [&] { ops_->rotate(heads, head_dim, rotary, first_position); });
    }
    void begin_layer_kv(const evaluator::AttentionShape& shape, std::int64_t positions) override {
        timed("append_kv", [&] { ops_->begin_layer_kv(shape, positions); });
    }
    void append_kv(const DeviceMatrix& keys, const DeviceMatrix& values,
                   std::int64_t first_position) override {
        timed("append_kv", [&] { ops_->append_kv(keys, values, first_position); });
    }
    void attend(const DeviceMatrix& queries, std::int64_t first_position,
                const DeviceMatrix& out) override {
        timed("attend", [&] { ops_->attend(queries, first_position, out); });
    }
    void swiglu(const DeviceMatrix& gate_up, const DeviceMatrix& out) override {
        timed("swiglu", [&] { ops_->swiglu(gate_up, out); });
    }
    void nll(const DeviceMatrix& in, const Prepared& head, const Prepared& tokens,
             std::int64_t first_position, const DeviceMatrix& out) override {
        timed("nll", [&] { ops_->nll(in, head, tokens, first_position, out); });
    }
    void download(const DeviceMatrix& from, std::span<float> values) override {
        ops_->download(from, values);
    }

private:
    static double now() {
        timespec time{};
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
        return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
    }

    template <class Work>
    void timed(const char* name, const Work& work) {
        const double start = now();
        work();
        run_[name] += now() - start;
    }

    std::unique_ptr<evaluator::DeviceOps> ops_;
    std::map<std::string, double> run_;
    std::map<std::string, double> best_;
};

}  // namespace longrope::benchmarks
