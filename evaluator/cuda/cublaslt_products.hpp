// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "evaluator/cuda/products.hpp"

namespace longrope::evaluator::cuda {

/// Matrix products by cublasLt: bfloat16 operands, float32 accumulation, no sum split over blocks.
/// The algorithm of a shape is what the library's heuristics say for `chunk_rows` rows, and is kept
/// for any fewer rows that it serves.
/// @param runtime     must outlive the result, which takes its workspace from it
/// @param chunk_rows  of a full chunk
/// @throws EvaluatorError if cublasLt cannot be used
[[nodiscard]] std::unique_ptr<Products> make_cublaslt_products(DeviceRuntime& runtime,
                                                               std::int64_t chunk_rows);

/// "13.1.0"; needs no device.
[[nodiscard]] std::string cublaslt_version();

}  // namespace longrope::evaluator::cuda
