// SPDX-License-Identifier: Apache-2.0
// Kernels for CPUs with AVX-512 F, BW, VL and DQ.
#include "evaluator/cpu/kernels/avx512_isa.hpp"
#include "evaluator/cpu/kernels/make_kernel_set.hpp"

namespace longrope::evaluator::cpu {
namespace {

constexpr KernelSet kernels = make_kernel_set<Avx512>("avx512");

}  // namespace

const KernelSet& avx512_kernels() noexcept {
    return kernels;
}

}  // namespace longrope::evaluator::cpu
