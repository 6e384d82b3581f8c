// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluator/cpu/kernels/attention_kernel.hpp"
#include "evaluator/cpu/kernels/kernel_set.hpp"
#include "evaluator/cpu/kernels/row_kernels.hpp"

namespace longrope::evaluator::cpu {

/// The kernels of `Isa`; included only by the object files compiled for it.
template <class Isa, class AttentionOperands = FloatOperands<Isa>>
constexpr KernelSet make_kernel_set(const char* name) {
    using Attention = AttentionKernel<Isa, AttentionOperands>;
    return {.name = name,
            .key_panel = Attention::key_panel,
            .value_panel = Attention::value_panel,
            .depth = AttentionOperands::depth,
            .element_bytes = sizeof(typename AttentionOperands::Element),
            .attention_scratch_floats = Attention::scratch_floats,
            .attend = Attention::attend,
            .pack = Attention::pack,
            .rms_norm = rms_norm_row<Isa>,
            .add = add_to_row<Isa>,
            .rotate = rotate_row<Isa>,
            .swiglu = swiglu_row<Isa>,
            .add_logits = add_logits_to_row<Isa>,
            .to_bfloat16 = to_bfloat16_row<Isa>,
            .exp2 = exp2_row<Isa>};
}

}  // namespace longrope::evaluator::cpu
