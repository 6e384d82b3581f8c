// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "evaluator/cuda/kernels/device_values.hpp"
#include "evaluator/device_ops.hpp"

namespace longrope::evaluator::cuda {

/// A DeviceMatrix as the kernels take it: state or product, float32.
inline Matrix<float> floats(const DeviceMatrix& matrix) {
    return {reinterpret_cast<float*>(matrix.data), matrix.rows, matrix.columns, matrix.stride};
}

/// An operand, bfloat16.
inline Matrix<Bfloat16> bfloat16s(const DeviceMatrix& matrix) {
    return {reinterpret_cast<Bfloat16*>(matrix.data), matrix.rows, matrix.columns, matrix.stride};
}

}  // namespace longrope::evaluator::cuda
