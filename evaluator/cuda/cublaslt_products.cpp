// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/cublaslt_products.hpp"

#include <cublasLt.h>
#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cuda {
namespace {

/// What NVIDIA recommends for Hopper; older devices need less.
constexpr std::uint64_t workspace_size = std::uint64_t{32} << 20U;
/// All that vectorised loads and TMA ask for. More alignment is not promised for every row of every
/// matrix, and another promise could bring another algorithm.
constexpr std::uint32_t full_alignment = 16;

void check(cublasStatus_t status, std::string_view intent) {
    if (status == CUBLAS_STATUS_SUCCESS) return;
    throw EvaluatorError{fmt::format("cannot {}: cublasLt says {} ({})", intent,
                                     cublasLtGetStatusString(status), static_cast<int>(status))};
}

/// What decides the algorithm.
struct ShapeKey {
    std::int64_t outputs, inputs, in_stride, weight_stride, out_stride;
    ProductOutput output;
    std::uint32_t alignment;  ///< of the pointers, in bytes, at most full_alignment
    friend auto operator<=>(const ShapeKey&, const ShapeKey&) = default;
};

std::string describe(const ShapeKey& key, std::int64_t rows) {
    return fmt::format("the product of [{}, {}] and [{}, {}]ᵀ (bfloat16, strides {}, {} and {})",
                       rows, key.inputs, key.outputs, key.inputs, key.in_stride, key.weight_stride,
                       key.out_stride);
}

std::uint32_t alignment_of(const void* in, const void* weights, const void* out) {
    const auto bits = reinterpret_cast<std::uintptr_t>(in) |
                      reinterpret_cast<std::uintptr_t>(weights) |
                      reinterpret_cast<std::uintptr_t>(out);
    if (bits == 0) return full_alignment;
    return static_cast<std::uint32_t>(
        std::min<std::uintptr_t>(full_alignment, std::uintptr_t{1} << std::countr_zero(bits)));
}

/// One product as cublasLt sees it. The library is column-major: what is C = A Wᵀ in rows is
/// Cᵀ [outputs, rows] = W Aᵀ in columns, so W is its first operand, transposed, and A its second.
class Operation {
public:
    Operation(const ShapeKey& key, std::int64_t rows) {
        const std::string intent = "describe " + describe(key, rows);
        check(cublasLtMatmulDescInit(&matmul_, CUBLAS_COMPUTE_32F, CUDA_R_32F), intent);
        const cublasOperation_t transposed = CUBLAS_OP_T;
        const cublasOperation_t as_it_is = CUBLAS_OP_N;
        check(cublasLtMatmulDescSetAttribute(&matmul_, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
                                             sizeof transposed),
              intent);
        check(cublasLtMatmulDescSetAttribute(&matmul_, CUBLASLT_MATMUL_DESC_TRANSB, &as_it_is,
                                             sizeof as_it_is),
              intent);
        const auto size = [](std::int64_t value) { return static_cast<std::uint64_t>(value); };
        check(cublasLtMatrixLayoutInit(&weights_, CUDA_R_16BF, size(key.inputs), size(key.outputs),
                                       key.weight_stride),
              intent);
        check(cublasLtMatrixLayoutInit(&in_, CUDA_R_16BF, size(key.inputs), size(rows),
                                       key.in_stride),
              intent);
        const cudaDataType_t stored = key.output == ProductOutput::bf16 ? CUDA_R_16BF : CUDA_R_32F;
        check(
            cublasLtMatrixLayoutInit(&out_, stored, size(key.outputs), size(rows), key.out_stride),
            intent);
    }

    [[nodiscard]] cublasLtMatmulAlgo_t best_algorithm(cublasLtHandle_t library, const ShapeKey& key,
                                                      std::int64_t rows) {
        const std::string intent = "choose an algorithm for " + describe(key, rows);
        cublasLtMatmulPreferenceOpaque_t preference{};
        check(cublasLtMatmulPreferenceInit(&preference), intent);
        const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t what, const auto& value) {
            check(cublasLtMatmulPreferenceSetAttribute(&preference, what, &value, sizeof value),
                  intent);
        };
        prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{workspace_size});
        // No sum is split over blocks: their order of adding would be an algorithm's own.
        prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
               std::uint32_t{CUBLASLT_REDUCTION_SCHEME_NONE});
        for (const auto side : {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES,
                                CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
                                CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES,
                                CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
            prefer(side, key.alignment);
        }
        cublasLtMatmulHeuristicResult_t found{};
        int count = 0;
        check(cublasLtMatmulAlgoGetHeuristic(library, &matmul_, &weights_, &in_, &out_, &out_,
                                             &preference, 1, &found, &count),
              intent);
        if (count == 0) throw EvaluatorError{"cannot " + intent + ": cublasLt has none"};
        check(found.state, intent);
        return found.algo;
    }

    [[nodiscard]] bool serves(cublasLtHandle_t library, const cublasLtMatmulAlgo_t& algorithm) {
        cublasLtMatmulHeuristicResult_t result{};
        return cublasLtMatmulAlgoCheck(library, &matmul_, &weights_, &in_, &out_, &out_, &algorithm,
                                       &result) == CUBLAS_STATUS_SUCCESS &&
               result.workspaceSize <= workspace_size;
    }

    void run(cublasLtHandle_t library, const ShapeKey& key, std::int64_t rows,
             const cublasLtMatmulAlgo_t& algorithm, const void* in, const void* weights, void* out,
             std::byte* workspace, Stream stream) {
        const float alpha = 1.0F;
        const float beta = key.output == ProductOutput::f32_add ? 1.0F : 0.0F;
        check(cublasLtMatmul(library, &matmul_, &alpha, weights, &weights_, in, &in_, &beta, out,
                             &out_, out, &out_, &algorithm, workspace, workspace_size, stream),
              "queue " + describe(key, rows));
    }

private:
    cublasLtMatmulDescOpaque_t matmul_{};
    cublasLtMatrixLayoutOpaque_t weights_{};
    cublasLtMatrixLayoutOpaque_t in_{};
    cublasLtMatrixLayoutOpaque_t out_{};
};

/// Owns the library's handle.
class Library {
public:
    Library() { check(cublasLtCreate(&handle_), "start cublasLt"); }
    Library(const Library&) = delete;
    Library& operator=(const Library&) = delete;
    ~Library() { cublasLtDestroy(handle_); }
    [[nodiscard]] cublasLtHandle_t get() const noexcept { return handle_; }

private:
    cublasLtHandle_t handle_ = nullptr;
};

class CublasLtProducts final : public Products {
public:
    CublasLtProducts(DeviceRuntime& runtime, std::int64_t chunk_rows)
        : chunk_rows_{chunk_rows},
          workspace_{runtime, workspace_size, "the workspace of matrix products"} {}

    void multiply(const Product& shape, const void* in, const void* weights, void* out,
                  Stream stream) override {
        const ShapeKey key{shape.outputs,
                           shape.inputs,
                           shape.in_stride,
                           shape.weight_stride,
                           shape.out_stride,
                           shape.output,
                           alignment_of(in, weights, out)};
        Operation operation{key, shape.rows};
        operation.run(library_.get(), key, shape.rows, algorithm_for(key, shape.rows, operation),
                      in, weights, out, workspace_.data(), stream);
    }

    std::string version() const override { return "cublasLt-" + cublaslt_version(); }
    std::uint64_t workspace_bytes() const noexcept override { return workspace_size; }

private:
    const cublasLtMatmulAlgo_t& algorithm_for(const ShapeKey& key, std::int64_t rows,
                                              Operation& operation) {
        auto chosen = algorithms_.find(key);
        if (chosen == algorithms_.end()) {
            Operation full{key, chunk_rows_};
            chosen = algorithms_.emplace(key, full.best_algorithm(library_.get(), key, chunk_rows_))
                         .first;
        }
        if (rows == chunk_rows_ || served_.contains({key, rows})) return chosen->second;
        // The choice depends on shape and library alone, so the bits of a document do not change
        // from run to run even where few rows take another algorithm.
        auto other = other_algorithms_.find({key, rows});
        if (other == other_algorithms_.end()) {
            if (operation.serves(library_.get(), chosen->second)) {
                served_.emplace(key, rows);
                return chosen->second;
            }
            other = other_algorithms_
                        .emplace(std::pair{key, rows},
                                 operation.best_algorithm(library_.get(), key, rows))
                        .first;
        }
        return other->second;
    }

    std::int64_t chunk_rows_;
    Library library_;
    DeviceAllocation workspace_;
    std::map<ShapeKey, cublasLtMatmulAlgo_t> algorithms_;
    std::set<std::pair<ShapeKey, std::int64_t>> served_;
    std::map<std::pair<ShapeKey, std::int64_t>, cublasLtMatmulAlgo_t> other_algorithms_;
};

}  // namespace

std::unique_ptr<Products> make_cublaslt_products(DeviceRuntime& runtime, std::int64_t chunk_rows) {
    return std::make_unique<CublasLtProducts>(runtime, chunk_rows);
}

std::string cublaslt_version() {
    const std::size_t version = cublasLtGetVersion();
    return fmt::format("{}.{}.{}", version / 10000, version / 100 % 100, version % 100);
}

}  // namespace longrope::evaluator::cuda
