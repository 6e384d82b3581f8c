// SPDX-License-Identifier: Apache-2.0
#include "tests/evaluator/cuda/fake_cublaslt.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <stdexcept>

#include "evaluator/precision.hpp"

namespace longrope::tests {
namespace {

/// One matrix as its descriptor tells it.
struct Layout {
    cudaDataType_t type{};
    cublasLtOrder_t order{};
    std::uint64_t rows = 0;
    std::uint64_t columns = 0;
    std::int64_t stride = 0;
    std::int32_t batches = 0;

    explicit Layout(cublasLtMatrixLayout_t layout) {
        const auto read = [layout](cublasLtMatrixLayoutAttribute_t what, auto& value) {
            std::size_t written = 0;
            if (cublasLtMatrixLayoutGetAttribute(layout, what, &value, sizeof value, &written) !=
                    CUBLAS_STATUS_SUCCESS ||
                written != sizeof value) {
                throw std::runtime_error{"a layout that cublasLt cannot read"};
            }
        };
        std::uint32_t raw_type = 0;
        std::int32_t raw_order = 0;
        read(CUBLASLT_MATRIX_LAYOUT_TYPE, raw_type);
        read(CUBLASLT_MATRIX_LAYOUT_ORDER, raw_order);
        read(CUBLASLT_MATRIX_LAYOUT_ROWS, rows);
        read(CUBLASLT_MATRIX_LAYOUT_COLS, columns);
        read(CUBLASLT_MATRIX_LAYOUT_LD, stride);
        read(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, batches);
        type = static_cast<cudaDataType_t>(raw_type);
        order = static_cast<cublasLtOrder_t>(raw_order);
    }

    [[nodiscard]] std::size_t element_bytes() const {
        if (type == CUDA_R_16BF) return 2;
        if (type == CUDA_R_32F) return 4;
        throw std::runtime_error{fmt::format("elements of type {}", static_cast<int>(type))};
    }
    [[nodiscard]] std::size_t index(std::uint64_t row, std::uint64_t column) const {
        return row + column * static_cast<std::size_t>(stride);
    }
    void require_inside(const char* name, const void* data) const {
        if (order != CUBLASLT_ORDER_COL || batches != 1) {
            throw std::runtime_error{fmt::format("{} is not one column-major matrix", name)};
        }
        if (stride < static_cast<std::int64_t>(rows)) {
            throw std::runtime_error{
                fmt::format("{} has columns of {} elements {} apart", name, rows, stride)};
        }
        const auto& buffers = FakeCublasLt::instance().buffers;
        const auto buffer = buffers.find(data);
        const std::size_t bytes = (index(rows - 1, columns - 1) + 1) * element_bytes();
        if (buffer == buffers.end() || bytes > buffer->second) {
            throw std::runtime_error{fmt::format("{} reaches over {} bytes, its buffer has {}",
                                                 name, bytes,
                                                 buffer == buffers.end() ? 0 : buffer->second)};
        }
    }
    [[nodiscard]] double read(const void* data, std::uint64_t row, std::uint64_t column) const {
        if (type == CUDA_R_32F) return static_cast<const float*>(data)[index(row, column)];
        return evaluator::from_bfloat16_bits(
            static_cast<const std::uint16_t*>(data)[index(row, column)]);
    }
    void write(void* data, std::uint64_t row, std::uint64_t column, double value) const {
        const auto rounded = static_cast<float>(value);
        if (type == CUDA_R_32F) {
            static_cast<float*>(data)[index(row, column)] = rounded;
        } else {
            static_cast<std::uint16_t*>(data)[index(row, column)] =
                evaluator::bfloat16_bits(rounded);
        }
    }
};

std::int32_t matmul_attribute(cublasLtMatmulDesc_t matmul,
                              cublasLtMatmulDescAttributes_t attribute) {
    std::int32_t value = -1;
    std::size_t written = 0;
    if (cublasLtMatmulDescGetAttribute(matmul, attribute, &value, sizeof value, &written) !=
        CUBLAS_STATUS_SUCCESS) {
        throw std::runtime_error{"a descriptor that cublasLt cannot read"};
    }
    return value;
}

/// D = alpha op(A) op(B) + beta C, as the descriptors say it.
void compute(AskedProduct& asked, float alpha, const void* a, const void* b, float beta,
             const void* c, void* d) {
    if (matmul_attribute(&asked.matmul, CUBLASLT_MATMUL_DESC_COMPUTE_TYPE) != CUBLAS_COMPUTE_32F ||
        matmul_attribute(&asked.matmul, CUBLASLT_MATMUL_DESC_SCALE_TYPE) != CUDA_R_32F ||
        matmul_attribute(&asked.matmul, CUBLASLT_MATMUL_DESC_POINTER_MODE) !=
            CUBLASLT_POINTER_MODE_HOST ||
        matmul_attribute(&asked.matmul, CUBLASLT_MATMUL_DESC_EPILOGUE) !=
            CUBLASLT_EPILOGUE_DEFAULT) {
        throw std::runtime_error{"not a plain product with float32 sums"};
    }
    const bool transpose_a =
        matmul_attribute(&asked.matmul, CUBLASLT_MATMUL_DESC_TRANSA) == CUBLAS_OP_T;
    const bool transpose_b =
        matmul_attribute(&asked.matmul, CUBLASLT_MATMUL_DESC_TRANSB) == CUBLAS_OP_T;
    const Layout la{&asked.a}, lb{&asked.b}, lc{&asked.c}, ld{&asked.d};
    const std::uint64_t m = transpose_a ? la.columns : la.rows;
    const std::uint64_t k = transpose_a ? la.rows : la.columns;
    const std::uint64_t n = transpose_b ? lb.rows : lb.columns;
    if ((transpose_b ? lb.columns : lb.rows) != k || ld.rows != m || ld.columns != n ||
        lc.rows != m || lc.columns != n || lc.type != ld.type) {
        throw std::runtime_error{"matrices that do not fit each other"};
    }
    la.require_inside("A", a);
    lb.require_inside("B", b);
    lc.require_inside("C", c);
    ld.require_inside("D", d);
    for (std::uint64_t row = 0; row < m; ++row) {
        for (std::uint64_t column = 0; column < n; ++column) {
            double sum = 0.0;
            for (std::uint64_t i = 0; i < k; ++i) {
                sum += (transpose_a ? la.read(a, i, row) : la.read(a, row, i)) *
                       (transpose_b ? lb.read(b, column, i) : lb.read(b, i, column));
            }
            double value = double{alpha} * sum;
            if (beta != 0.0F) value += double{beta} * lc.read(c, row, column);
            ld.write(d, row, column, value);
        }
    }
}

}  // namespace

FakeCublasLt& FakeCublasLt::instance() {
    static FakeCublasLt fake;
    return fake;
}

}  // namespace longrope::tests

using longrope::tests::AskedProduct;
using longrope::tests::FakeCublasLt;

extern "C" {

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
    *handle = std::bit_cast<cublasLtHandle_t>(std::uintptr_t{1});
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t) {
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                              cublasLtMatmulPreference_t preference, int requested,
                                              cublasLtMatmulHeuristicResult_t found[], int* count) {
    FakeCublasLt& fake = FakeCublasLt::instance();
    ++fake.choices;
    const auto read = [preference](cublasLtMatmulPreferenceAttributes_t what, auto& value) {
        std::size_t written = 0;
        return cublasLtMatmulPreferenceGetAttribute(preference, what, &value, sizeof value,
                                                    &written) == CUBLAS_STATUS_SUCCESS;
    };
    if (!read(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, fake.workspace_limit) ||
        !read(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, fake.reduction_schemes) ||
        !read(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, fake.alignment) || requested < 1) {
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    found[0] = {};
    found[0].state = CUBLAS_STATUS_SUCCESS;
    *count = 1;
    return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t, cublasLtMatmulDesc_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
                                       const cublasLtMatmulAlgo_t*,
                                       cublasLtMatmulHeuristicResult_t* result) {
    *result = {};
    return FakeCublasLt::instance().algorithm_serves ? CUBLAS_STATUS_SUCCESS
                                                     : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t matmul, const void* alpha,
                              const void* a, cublasLtMatrixLayout_t layout_a, const void* b,
                              cublasLtMatrixLayout_t layout_b, const void* beta, const void* c,
                              cublasLtMatrixLayout_t layout_c, void* d,
                              cublasLtMatrixLayout_t layout_d, const cublasLtMatmulAlgo_t*, void*,
                              std::size_t, cudaStream_t) {
    FakeCublasLt& fake = FakeCublasLt::instance();
    AskedProduct asked{*matmul, *layout_a, *layout_b, *layout_c, *layout_d};
    if (fake.plant) fake.plant(asked);
    fake.mistake.clear();
    try {
        longrope::tests::compute(asked, *static_cast<const float*>(alpha), a, b,
                                 *static_cast<const float*>(beta), c, d);
    } catch (const std::runtime_error& error) {
        fake.mistake = error.what();
        return CUBLAS_STATUS_INVALID_VALUE;
    }
    ++fake.products;
    return CUBLAS_STATUS_SUCCESS;
}
}
