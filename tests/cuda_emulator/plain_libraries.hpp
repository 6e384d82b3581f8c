// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluator/cuda/products.hpp"
#include "evaluator/cuda/segment_attention.hpp"
#include "tests/cuda_emulator/emulator.hpp"

namespace longrope::tests::cuda_emulator {

/// Matrix products as cublasLt is asked for them: bfloat16 operands, float32 sums, in loops.
class PlainProducts final : public evaluator::cuda::Products {
public:
    explicit PlainProducts(Emulator& emulator) : emulator_{emulator} {}

    void multiply(const evaluator::cuda::Product& shape, const void* in, const void* weights,
                  void* out, evaluator::cuda::Stream stream) override;
    [[nodiscard]] std::string version() const override { return "plain"; }
    [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override { return 0; }

private:
    Emulator& emulator_;
};

/// Attention to one segment as cuDNN is asked for it, roundings included: scores and their sum in
/// float32, weights rounded to bfloat16 before they meet the values, masked ones 0 times a value.
class PlainAttention final : public evaluator::cuda::SegmentAttention {
public:
    explicit PlainAttention(Emulator& emulator) : emulator_{emulator} {}

    void attend(const evaluator::cuda::AttentionSegment& shape, const void* queries,
                const void* keys, const void* values, void* out, float* log_sum_exp,
                evaluator::cuda::Stream stream) override;
    [[nodiscard]] std::string version() const override { return "plain"; }
    [[nodiscard]] std::uint64_t workspace_bytes() const noexcept override { return 0; }

private:
    Emulator& emulator_;
};

}  // namespace longrope::tests::cuda_emulator
