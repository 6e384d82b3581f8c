// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "evaluator/cuda/device_runtime.hpp"

namespace longrope::evaluator::cuda {

/// What becomes of a product's sums, which are float32 in any case.
enum class ProductOutput : std::uint8_t {
    bf16,     ///< rounded to the nearest bfloat16, ties to even
    f32,      ///< stored
    f32_add,  ///< added to what `out` holds: the residual stream
};

/// C[rows, outputs] (+)= A[rows, inputs] W[outputs, inputs]ᵀ, all row-major, A and W bfloat16.
struct Product {
    std::int64_t rows = 0;
    std::int64_t outputs = 0;
    std::int64_t inputs = 0;
    std::int64_t in_stride = 0;      ///< elements from one row of A to the next, >= inputs
    std::int64_t weight_stride = 0;  ///< of W, >= inputs
    std::int64_t out_stride = 0;     ///< of C, >= outputs
    ProductOutput output = ProductOutput::f32;
};

/// Matrix products with bfloat16 operands and float32 accumulation (never bfloat16, never split
/// over atomics): cublasLt on a GPU, plain loops on the emulator.
///
/// Bits: for one (outputs, inputs, weight_stride, output) an implementation keeps to one algorithm
/// whatever the rows, so that a row's bits depend on neither its place nor the number of rows.
/// Where a library refuses that algorithm for a number of rows it takes another for it: one product
/// still has the same bits every time. The number of rows in a call is at most the chunk's; no
/// matrix reaches 2^31 elements.
class Products {
public:
    Products() = default;
    Products(const Products&) = delete;
    Products& operator=(const Products&) = delete;
    virtual ~Products() = default;

    /// Queues one product. Pointers are device memory, aligned to the element at least; weights and
    /// whole buffers to 256 bytes, so that only odd column ranges and strides are less aligned.
    /// @throws EvaluatorError naming the shape if no algorithm serves it
    virtual void multiply(const Product& shape, const void* in, const void* weights, void* out,
                          Stream stream) = 0;
    /// Library, version and what was chosen, without ';': part of the numerics class.
    [[nodiscard]] virtual std::string version() const = 0;
    /// Device memory that it holds for itself.
    [[nodiscard]] virtual std::uint64_t workspace_bytes() const noexcept = 0;
};

}  // namespace longrope::evaluator::cuda
