// SPDX-License-Identifier: Apache-2.0
// Embedding gather: out[r, c] = table[tokens[r], c], widened.
// table  bfloat16 [vocabulary, hidden]   tokens int32 [rows]   out float32 [rows, hidden]
// Launch: a block of 256 threads for 256 columns of one row, a thread per element. Reads and writes
// of a row are consecutive; it runs once per document and layer-less, so nothing more is worth it.
#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/cuda/kernels/kernels.hpp"

namespace longrope::evaluator::cuda {
namespace {

__global__ void embed_kernel(const Bfloat16* table, const std::int32_t* tokens, Matrix<float> out) {
    const std::int64_t row = element_row();
    const std::int64_t column = element_column();
    if (column >= out.columns) return;
    const std::int64_t token = tokens[row];
    out.row(row)[column] = to_float(table[token * out.columns + column]);
}

}  // namespace

void embed(const Bfloat16* table, const std::int32_t* tokens, const Matrix<float>& out,
           Stream stream) {
    launch(embed_kernel, shape_of_elements(out.rows, out.columns), stream, table, tokens, out);
}

}  // namespace longrope::evaluator::cuda
