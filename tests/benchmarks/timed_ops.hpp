// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ctime>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <type_traits>
#include <utility>

#include "evaluator/device_ops.hpp"

namespace longrope::benchmarks {

/// CPU seconds of the whole process: on a shared machine they mean more than wall time.
[[nodiscard]] inline double cpu_seconds() {
    timespec time{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

/// CPU seconds of one kind of operation and the multiply-adds in it, 2 FLOP each; 0: has none.
struct OperationCost {
    double seconds = 0.0;
    double flop = 0.0;
};

/// Passes every operation on and keeps, per kind, the process's CPU time in the fastest run between
/// begin() and end().
class TimedOps final : public evaluator::DeviceOps {
    using DeviceMatrix = evaluator::DeviceMatrix;
    using Prepared = evaluator::Prepared;

public:
    explicit TimedOps(std::unique_ptr<evaluator::DeviceOps> ops) : ops_{std::move(ops)} {}

    void forget() { best_.clear(); }
    void begin() { run_.clear(); }
    void end() {
        for (const auto& [name, cost] : run_) {
            const auto known = best_.find(name);
            if (known == best_.end() || cost.seconds < known->second.seconds) best_[name] = cost;
        }
    }
    [[nodiscard]] const std::map<std::string, OperationCost>& costs() const { return best_; }

    std::int64_t chunk_rows() const noexcept override { return ops_->chunk_rows(); }
    std::unique_ptr<Prepared> prepare_embedding(const evaluator::TensorView& table) override {
        return ops_->prepare_embedding(table);
    }
    std::unique_ptr<Prepared> prepare_matrix(
        std::span<const evaluator::TensorView> stacked) override {
        return timed("prepare", 0.0, [&] { return ops_->prepare_matrix(stacked); });
    }
    std::unique_ptr<Prepared> prepare_head(const evaluator::TensorView& weights) override {
        vocabulary_ = static_cast<double>(weights.shape.front());
        return timed("prepare", 0.0, [&] { return ops_->prepare_head(weights); });
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
        timed("embed", 0.0, [&] { ops_->embed(embedding, tokens, first_position, out); });
    }
    void rms_norm(const DeviceMatrix& in, const Prepared& weight, float epsilon,
                  const DeviceMatrix& out) override {
        timed("rms_norm", 0.0, [&] { ops_->rms_norm(in, weight, epsilon, out); });
    }
    void rms_norm_heads(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& weight,
                        float epsilon) override {
        timed("rms_norm", 0.0, [&] { ops_->rms_norm_heads(heads, head_dim, weight, epsilon); });
    }
    void add_bias(const DeviceMatrix& rows, const Prepared& bias) override {
        timed("add_bias", 0.0, [&] { ops_->add_bias(rows, bias); });
    }
    void matmul(const DeviceMatrix& in, const Prepared& weights, const DeviceMatrix& out) override {
        timed("matmul", product_flop(in, out.columns), [&] { ops_->matmul(in, weights, out); });
    }
    void matmul_add(const DeviceMatrix& in, const Prepared& weights,
                    const DeviceMatrix& sum) override {
        timed("matmul_add", product_flop(in, sum.columns),
              [&] { ops_->matmul_add(in, weights, sum); });
    }
    void rotate(const DeviceMatrix& heads, std::int64_t head_dim, const Prepared& rotary,
                std::int64_t first_position) override {
        timed("rotate", 0.0, [&] { ops_->rotate(heads, head_dim, rotary, first_position); });
    }
    void begin_layer_kv(const evaluator::AttentionShape& shape, std::int64_t positions) override {
        heads_width_ = static_cast<double>(shape.heads * shape.head_dim);
        timed("append_kv", 0.0, [&] { ops_->begin_layer_kv(shape, positions); });
    }
    void append_kv(const DeviceMatrix& keys, const DeviceMatrix& values,
                   std::int64_t first_position) override {
        timed("append_kv", 0.0, [&] { ops_->append_kv(keys, values, first_position); });
    }
    void attend(const DeviceMatrix& queries, std::int64_t first_position,
                const DeviceMatrix& out) override {
        timed("attend", attention_flop(queries, first_position),
              [&] { ops_->attend(queries, first_position, out); });
    }
    void swiglu(const DeviceMatrix& gate_up, const DeviceMatrix& out) override {
        timed("swiglu", 0.0, [&] { ops_->swiglu(gate_up, out); });
    }
    void nll(const DeviceMatrix& in, const Prepared& head, const Prepared& tokens,
             std::int64_t first_position, const DeviceMatrix& out) override {
        timed("nll", product_flop(in, vocabulary_),
              [&] { ops_->nll(in, head, tokens, first_position, out); });
    }
    void download(const DeviceMatrix& from, std::span<float> values) override {
        ops_->download(from, values);
    }

private:
    static double product_flop(const DeviceMatrix& in, double outputs) {
        return 2.0 * static_cast<double>(in.rows) * static_cast<double>(in.columns) * outputs;
    }
    static double product_flop(const DeviceMatrix& in, std::int64_t outputs) {
        return product_flop(in, static_cast<double>(outputs));
    }
    /// Row r of a call meets first_position + r + 1 keys, in scores and in weighted values.
    double attention_flop(const DeviceMatrix& queries, std::int64_t first_position) const {
        const auto rows = static_cast<double>(queries.rows);
        const double keys = rows * (static_cast<double>(first_position) + 0.5 * (rows + 1.0));
        return 4.0 * heads_width_ * keys;
    }

    template <class Work>
    std::invoke_result_t<Work> timed(const char* name, double flop, const Work& work) {
        /// Adds the time when the scope is left, whatever `work` returns.
        struct Clock {
            OperationCost& cost;
            double start = cpu_seconds();
            ~Clock() { cost.seconds += cpu_seconds() - start; }
        };
        OperationCost& cost = run_[name];
        cost.flop += flop;
        const Clock clock{cost};
        return work();
    }

    std::unique_ptr<evaluator::DeviceOps> ops_;
    double vocabulary_ = 0.0;
    double heads_width_ = 0.0;
    std::map<std::string, OperationCost> run_;
    std::map<std::string, OperationCost> best_;
};

}  // namespace longrope::benchmarks
