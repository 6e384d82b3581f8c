// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/cublaslt_products.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>
#include <vector>

#include "evaluator/evaluator.hpp"
#include "evaluator/precision.hpp"
#include "genome/random_stream.hpp"
#include "tests/evaluator/cuda/fake_cublaslt.hpp"

using namespace longrope;
using namespace longrope::evaluator::cuda;
using longrope::tests::AskedProduct;
using longrope::tests::FakeCublasLt;

namespace {

/// Host memory in place of a device's; only what products need of a runtime.
class HostRuntime final : public DeviceRuntime {
public:
    const DeviceFacts& facts() const noexcept override { return facts_; }
    std::uint64_t free_bytes() const override { return facts_.total_bytes; }
    Stream compute_stream() const noexcept override { return nullptr; }
    Stream copy_stream() const noexcept override { return nullptr; }
    std::byte* allocate(std::uint64_t bytes, const char*) override {
        return static_cast<std::byte*>(::operator new(bytes));
    }
    void release(std::byte* memory) noexcept override { ::operator delete(memory); }
    std::byte* allocate_pinned(std::uint64_t bytes, const char* purpose) override {
        return allocate(bytes, purpose);
    }
    void release_pinned(std::byte* memory) noexcept override { release(memory); }
    void copy_to_device(std::byte* to, const std::byte* from, std::uint64_t bytes,
                        Stream) override {
        std::copy_n(from, bytes, to);
    }
    void copy_to_host(std::byte* to, const std::byte* from, std::uint64_t bytes, Stream) override {
        std::copy_n(from, bytes, to);
    }
    void fill_zero(std::byte* memory, std::uint64_t bytes, Stream) override {
        std::fill_n(memory, bytes, std::byte{0});
    }
    Event create_event() override { return nullptr; }
    void destroy_event(Event) noexcept override {}
    void record(Event, Stream) override {}
    void wait(Stream, Event) override {}
    void synchronize(Stream) override {}

private:
    DeviceFacts facts_{.name = "host",
                       .uuid = {},
                       .architecture = "sm_90",
                       .multiprocessors = 132,
                       .total_bytes = 1 << 30};
};

constexpr std::int64_t chunk_rows = 12;

/// Operands of one product, with gaps between rows, and what must come out.
class Case {
public:
    Case(std::int64_t rows, std::int64_t outputs, std::int64_t inputs, ProductOutput output,
         std::uint32_t seed)
        : shape{.rows = rows,
                .outputs = outputs,
                .inputs = inputs,
                .in_stride = inputs + 3,
                .weight_stride = inputs + 8,
                .out_stride = outputs + 5,
                .output = output} {
        genome::RandomStream random{seed, "cublasLt test", 0};
        const auto fill = [&random](std::vector<std::uint16_t>& values, std::int64_t count) {
            values.resize(static_cast<std::size_t>(count));
            for (auto& value : values) {
                value =
                    evaluator::bfloat16_bits(static_cast<float>(2.0 * random.uniform_real() - 1.0));
            }
        };
        fill(in, shape.in_stride * (rows - 1) + inputs);
        fill(weights, shape.weight_stride * (outputs - 1) + inputs);
        const auto size = static_cast<std::size_t>(shape.out_stride * (rows - 1) + outputs);
        before.resize(size);
        for (float& value : before) value = static_cast<float>(random.uniform_real());
    }

    /// C(i, j) by the definition, in double.
    [[nodiscard]] double expected(std::int64_t row, std::int64_t output) const {
        double sum = 0.0;
        for (std::int64_t i = 0; i < shape.inputs; ++i) {
            sum +=
                double{evaluator::from_bfloat16_bits(in[at(row, shape.in_stride, i)])} *
                double{evaluator::from_bfloat16_bits(weights[at(output, shape.weight_stride, i)])};
        }
        if (shape.output == ProductOutput::f32_add)
            sum += double{before[at(row, shape.out_stride, output)]};
        return sum;
    }

    /// Whether `products` gives it, and leaves the gaps alone.
    [[nodiscard]] bool holds(Products& products) {
        std::vector<float> wide = before;
        std::vector<std::uint16_t> narrow(before.size(), 0x1234);
        const bool is_narrow = shape.output == ProductOutput::bf16;
        void* const out = is_narrow ? static_cast<void*>(narrow.data()) : wide.data();
        FakeCublasLt& fake = FakeCublasLt::instance();
        fake.buffers = {{in.data(), in.size() * 2},
                        {weights.data(), weights.size() * 2},
                        {out, before.size() * (is_narrow ? 2 : 4)}};
        products.multiply(shape, in.data(), weights.data(), out, nullptr);
        for (std::int64_t row = 0; row < shape.rows; ++row) {
            for (std::int64_t output = 0; output < shape.out_stride; ++output) {
                const std::size_t index = at(row, shape.out_stride, output);
                if (index >= before.size()) continue;
                if (output >= shape.outputs) {  // between the rows
                    if (is_narrow ? narrow[index] != 0x1234 : wide[index] != before[index]) {
                        return false;
                    }
                    continue;
                }
                const auto value = static_cast<float>(expected(row, output));
                // The fake sums in another order, in double: a float's last bit at most.
                const bool same = is_narrow ? narrow[index] == evaluator::bfloat16_bits(value)
                                            : std::abs(wide[index] - value) <=
                                                  2e-7F * std::max(1.0F, std::abs(value));
                if (!same) return false;
            }
        }
        return true;
    }

    Product shape;
    std::vector<std::uint16_t> in, weights;
    std::vector<float> before;

private:
    static std::size_t at(std::int64_t row, std::int64_t stride, std::int64_t column) {
        return static_cast<std::size_t>(row * stride + column);
    }
};

/// Sets an attribute of a descriptor as a mistake in the program would have.
template <typename Value>
void set(cublasLtMatrixLayoutOpaque_t& layout, cublasLtMatrixLayoutAttribute_t what, Value value) {
    REQUIRE(cublasLtMatrixLayoutSetAttribute(&layout, what, &value, sizeof value) ==
            CUBLAS_STATUS_SUCCESS);
}
template <typename Value>
void set(cublasLtMatmulDescOpaque_t& matmul, cublasLtMatmulDescAttributes_t what, Value value) {
    REQUIRE(cublasLtMatmulDescSetAttribute(&matmul, what, &value, sizeof value) ==
            CUBLAS_STATUS_SUCCESS);
}

/// A fake without memory of the test before, and products over it.
struct Bench {
    Bench() { FakeCublasLt::instance() = {}; }
    HostRuntime runtime;
    std::unique_ptr<Products> products = make_cublaslt_products(runtime, chunk_rows);
};

}  // namespace

TEST_CASE("cublasLt's descriptors say the product that was asked for") {
    Bench bench;
    std::uint32_t seed = 0;
    for (const ProductOutput output :
         {ProductOutput::f32, ProductOutput::bf16, ProductOutput::f32_add}) {
        for (const auto& [rows, outputs, inputs] :
             {std::tuple{12, 16, 8}, {12, 8, 16}, {5, 7, 9}, {1, 24, 8}, {12, 1, 3}, {3, 3, 3}}) {
            INFO("rows ", rows, ", outputs ", outputs, ", inputs ", inputs, ", output ",
                 static_cast<int>(output));
            Case product{rows, outputs, inputs, output, ++seed};
            CHECK(product.holds(*bench.products));
        }
    }
    CHECK(FakeCublasLt::instance().products == 18);
}

TEST_CASE("a mistake planted in cublasLt's descriptors does not pass") {
    using Plant = std::function<void(AskedProduct&)>;
    const std::vector<std::pair<const char*, Plant>> mistakes{
        {"weights not transposed",
         [](AskedProduct& p) { set(p.matmul, CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_N); }},
        {"inputs transposed",
         [](AskedProduct& p) { set(p.matmul, CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_T); }},
        {"weights packed",
         [](AskedProduct& p) { set(p.a, CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{8}); }},
        {"weights too far apart",
         [](AskedProduct& p) { set(p.a, CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{17}); }},
        {"inputs packed",
         [](AskedProduct& p) { set(p.b, CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{8}); }},
        {"outputs packed",
         [](AskedProduct& p) {
             set(p.c, CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{8});
             set(p.d, CUBLASLT_MATRIX_LAYOUT_LD, std::int64_t{8});
         }},
        {"row-major outputs",
         [](AskedProduct& p) { set(p.d, CUBLASLT_MATRIX_LAYOUT_ORDER, CUBLASLT_ORDER_ROW); }},
        {"outputs in bfloat16",
         [](AskedProduct& p) {
             set(p.c, CUBLASLT_MATRIX_LAYOUT_TYPE, std::uint32_t{CUDA_R_16BF});
             set(p.d, CUBLASLT_MATRIX_LAYOUT_TYPE, std::uint32_t{CUDA_R_16BF});
         }},
        {"weights in float16",
         [](AskedProduct& p) { set(p.a, CUBLASLT_MATRIX_LAYOUT_TYPE, std::uint32_t{CUDA_R_16F}); }},
        {"a row too few",
         [](AskedProduct& p) { set(p.b, CUBLASLT_MATRIX_LAYOUT_COLS, std::uint64_t{7}); }},
        {"both operands exchanged", [](AskedProduct& p) { std::swap(p.a, p.b); }},
    };
    // Square, so that no mistake shows by sizes alone.
    for (const auto& [name, plant] : mistakes) {
        INFO(name);
        Bench bench;
        Case product{8, 8, 8, ProductOutput::f32, 77};
        CHECK(product.holds(*bench.products));
        FakeCublasLt::instance().plant = plant;
        bool passed = false;
        try {
            passed = product.holds(*bench.products);
        } catch (const evaluator::EvaluatorError&) {
            CHECK_FALSE(FakeCublasLt::instance().mistake.empty());
        }
        CHECK_FALSE(passed);
    }
}

TEST_CASE("an algorithm is chosen once for a shape and kept for fewer rows") {
    Bench bench;
    FakeCublasLt& fake = FakeCublasLt::instance();
    for (const std::int64_t rows : {12, 12, 3, 7, 3, 12}) {
        Case product{rows, 8, 16, ProductOutput::f32, 5};
        CHECK(product.holds(*bench.products));
    }
    CHECK(fake.choices == 1);
    CHECK(fake.workspace_limit == bench.products->workspace_bytes());
    CHECK(fake.reduction_schemes == CUBLASLT_REDUCTION_SCHEME_NONE);

    Case other{12, 16, 16, ProductOutput::f32, 5};
    CHECK(other.holds(*bench.products));
    CHECK(fake.choices == 2);

    // Where it does not serve, another is chosen, once for those rows.
    fake.algorithm_serves = false;
    for (int i = 0; i < 3; ++i) {
        Case fewer{2, 16, 16, ProductOutput::f32, 5};
        CHECK(fewer.holds(*bench.products));
    }
    CHECK(fake.choices == 3);
}

TEST_CASE("no more alignment is promised to cublasLt than every pointer has") {
    Bench bench;
    Case product{12, 8, 16, ProductOutput::f32, 9};
    CHECK(product.holds(*bench.products));
    CHECK(FakeCublasLt::instance().alignment == 16);

    product.in.insert(product.in.begin(), std::uint16_t{0});
    FakeCublasLt& fake = FakeCublasLt::instance();
    std::vector<float> out = product.before;
    const std::uint16_t* const shifted = product.in.data() + 1;
    fake.buffers = {{shifted, (product.in.size() - 1) * 2},
                    {product.weights.data(), product.weights.size() * 2},
                    {out.data(), out.size() * 4}};
    bench.products->multiply(product.shape, shifted, product.weights.data(), out.data(), nullptr);
    CHECK(fake.alignment == 2);
    CHECK(fake.choices == 2);
}

TEST_CASE("cublasLt's version is part of the numerics class") {
    Bench bench;
    CHECK(bench.products->version() == "cublasLt-" + cublaslt_version());
    CHECK(cublaslt_version().find('.') != std::string::npos);
}
