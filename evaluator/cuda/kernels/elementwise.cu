// SPDX-License-Identifier: Apache-2.0
// What goes element by element.
//   add_bias  rows float32 [rows, columns] += bias float32 [columns]
//   swiglu    gate_up float32 [rows, 2 * inner], gate first -> out bfloat16 [rows, inner],
//             silu(gate) * up with silu(x) = x / (1 + exp(-x))
// Launch: a block of 256 threads for 256 columns of one row, a thread per element. The residual
// addition is part of the products that feed the stream (f32_add) and needs no kernel.
#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"

namespace longrope::evaluator::cuda {
namespace {

__global__ void add_bias_kernel(Matrix<float> rows, const float* bias) {
    const std::int64_t column = element_column();
    if (column < rows.columns) rows.row(element_row())[column] += bias[column];
}

__global__ void swiglu_kernel(Matrix<const float> gate_up, Matrix<Bfloat16> out) {
    const std::int64_t row = element_row();
    const std::int64_t column = element_column();
    if (column >= out.columns) return;
    const float gate = gate_up.row(row)[column];
    const float up = gate_up.row(row)[out.columns + column];
    // expf, not __expf: its last bits decide scores. exp(-gate) = inf gives the right limit, 0.
    out.row(row)[column] = to_bfloat16(gate / (1.0F + expf(-gate)) * up);
}

}  // namespace

void add_bias(const Matrix<float>& rows, const float* bias, Stream stream) {
    launch(add_bias_kernel, shape_of_elements(rows.rows, rows.columns), stream, rows, bias);
}

void swiglu(const Matrix<const float>& gate_up, const Matrix<Bfloat16>& out, Stream stream) {
    launch(swiglu_kernel, shape_of_elements(out.rows, out.columns), stream, gate_up, out);
}

}  // namespace longrope::evaluator::cuda
