// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/matrix_product.hpp"

#include <fmt/format.h>
#include <omp.h>

#include <algorithm>
#include <cassert>
#include <new>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>
#include <utility>

#include "evaluator/cpu/weight_memory.hpp"
#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cpu {
namespace {

/// Keeps oneDNN on the calling thread: its OpenMP takes the number of threads from a variable that
/// every thread has for itself, so it is set around each call, on whichever thread calls.
class OneOpenMpThread {
public:
    OneOpenMpThread() : before_{omp_get_max_threads()} { omp_set_num_threads(1); }
    OneOpenMpThread(const OneOpenMpThread&) = delete;
    OneOpenMpThread& operator=(const OneOpenMpThread&) = delete;
    ~OneOpenMpThread() { omp_set_num_threads(before_); }

private:
    int before_;
};

/// The instruction set that oneDNN is held to. Its AVX-512 kernels for float32 are the same with
/// and without the bfloat16 extension, which therefore stays in, so that one process can use both
/// precisions; AMX stays out.
dnnl::cpu_isa library_isa(InstructionSet set) {
    switch (set) {
        case InstructionSet::avx512:
            if (__builtin_cpu_supports("avx512bf16")) return dnnl::cpu_isa::avx512_core_bf16;
            return __builtin_cpu_supports("avx512vnni") ? dnnl::cpu_isa::avx512_core_vnni
                                                        : dnnl::cpu_isa::avx512_core;
        case InstructionSet::avx2:
            return dnnl::cpu_isa::avx2;
        case InstructionSet::baseline:
            break;
    }
    return dnnl::cpu_isa::sse41;
}

/// oneDNN fixes its instruction set at the first primitive of the process.
void restrict_library(InstructionSet set) {
    const dnnl::cpu_isa wanted = library_isa(set);
    const dnnl::status status = dnnl::set_max_cpu_isa(wanted);
    if (status == dnnl::status::success || dnnl::get_effective_cpu_isa() == wanted) return;
    throw EvaluatorError{fmt::format(
        "oneDNN cannot be restricted to {}: this process already uses it with another instruction "
        "set (oneDNN's code {}); evaluate with one instruction set per process",
        instruction_set_name(set), static_cast<int>(dnnl::get_effective_cpu_isa()))};
}

/// Attributes of every product: working memory is ours, and float32 stays float32 whatever
/// DNNL_DEFAULT_FPMATH_MODE says.
dnnl::primitive_attr strict_attributes() {
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
    return attributes;
}

/// The same for products that are added to what is there.
dnnl::primitive_attr adding_attributes() {
    dnnl::primitive_attr attributes = strict_attributes();
    dnnl::post_ops add;
    add.append_sum(1.0F);
    attributes.set_post_ops(add);
    return attributes;
}

dnnl::memory::data_type operand_type(Precision precision) {
    return precision == Precision::bf16 ? dnnl::memory::data_type::bf16
                                        : dnnl::memory::data_type::f32;
}

/// Throws what oneDNN reports as this program's own error.
[[noreturn]] void rethrow(const dnnl::error& error, const char* task, std::int64_t outputs,
                          std::int64_t inputs, Precision precision) {
    if (error.status == dnnl_out_of_memory) throw std::bad_alloc{};
    throw EvaluatorError{fmt::format("oneDNN cannot {} a product with weights [{}, {}] in {}: {}",
                                     task, outputs, inputs, precision_name(precision),
                                     error.what())};
}

}  // namespace

struct MatrixLibrary::Handles {
    /// What one thread needs for itself.
    struct PerThread {
        dnnl::stream stream;
        std::vector<std::byte> scratchpad;
    };
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
    std::vector<PerThread> threads;
    WeightMemory weights;

    /// Makes room for a primitive's working memory on every thread.
    void reserve_scratchpad(std::size_t bytes) {
        constexpr std::size_t alignment = 64;
        for (PerThread& thread : threads) {
            if (thread.scratchpad.size() < bytes + alignment) {
                thread.scratchpad.resize(bytes + alignment);
            }
        }
    }
};

MatrixLibrary::MatrixLibrary(InstructionSet set, Precision precision, std::uint32_t threads)
    : set_{set}, precision_{precision} {
    restrict_library(set);
    require_precision(set, precision);
    handles_ = std::make_unique<Handles>();
    for (std::uint32_t i = 0; i < threads; ++i) {
        handles_->threads.push_back({dnnl::stream{handles_->engine}, {}});
    }
}

MatrixLibrary::~MatrixLibrary() = default;

std::string MatrixLibrary::version() {
    const dnnl_version_t* found = dnnl_version();
    return fmt::format("{}.{}.{}", found->major, found->minor, found->patch);
}

struct PackedMatrix::Primitives {
    dnnl::primitive multiply;
    dnnl::primitive multiply_add;
    dnnl::memory::desc in;
    dnnl::memory::desc out;
    dnnl::memory::desc plain_weights;  ///< W [outputs, inputs] row-major, as this form names it
    dnnl::memory::desc packed_weights;
    int outputs_axis;  ///< of both
    dnnl::memory::desc scratchpad;
    dnnl::memory::desc add_scratchpad;
    WeightMemory::Piece room;
    dnnl::memory weights;  ///< packed, in that room
};

PackedMatrix::Primitives PackedMatrix::as_matmul(MatrixLibrary& library, std::int64_t outputs,
                                                 std::int64_t inputs) {
    using dnnl::memory;
    using tag = memory::format_tag;
    const dnnl::engine& engine = library.handles_->engine;
    const memory::data_type type = operand_type(library.precision_);
    const memory::desc in{{tile_rows, inputs}, type, tag::ab};
    const memory::desc out{{tile_rows, outputs}, memory::data_type::f32, tag::ab};
    const memory::desc any{{inputs, outputs}, type, tag::any};
    const dnnl::matmul::primitive_desc multiply{dnnl::matmul::desc{in, any, out},
                                                strict_attributes(), engine};
    const memory::desc packed = multiply.weights_desc();
    const dnnl::matmul::primitive_desc multiply_add{dnnl::matmul::desc{in, packed, out},
                                                    adding_attributes(), engine};
    // W [outputs, inputs] row-major is Wᵀ [inputs, outputs] column-major.
    return {.multiply = dnnl::matmul{multiply},
            .multiply_add = dnnl::matmul{multiply_add},
            .in = in,
            .out = out,
            .plain_weights = {{inputs, outputs}, memory::data_type::f32, tag::ba},
            .packed_weights = packed,
            .outputs_axis = 1,
            .scratchpad = multiply.scratchpad_desc(),
            .add_scratchpad = multiply_add.scratchpad_desc(),
            .room = {},
            .weights = {}};
}

std::optional<PackedMatrix::Primitives> PackedMatrix::as_convolution(MatrixLibrary& library,
                                                                     std::int64_t outputs,
                                                                     std::int64_t inputs) {
    using dnnl::memory;
    using tag = memory::format_tag;
    using convolution = dnnl::convolution_forward;
    const dnnl::engine& engine = library.handles_->engine;
    constexpr auto f32 = memory::data_type::f32;
    // A row is a pixel, channels innermost: the memory of a row-major matrix.
    const memory::desc in{{1, inputs, 1, tile_rows}, f32, tag::nhwc};
    const memory::desc out{{1, outputs, 1, tile_rows}, f32, tag::nhwc};
    const auto describe = [&](const memory::desc& weights, const dnnl::primitive_attr& attributes) {
        return convolution::primitive_desc{convolution::desc{dnnl::prop_kind::forward_inference,
                                                             dnnl::algorithm::convolution_direct,
                                                             in,
                                                             weights,
                                                             out,
                                                             {1, 1},
                                                             {0, 0},
                                                             {0, 0}},
                                           attributes, engine};
    };
    const auto is_specialised = [](const convolution::primitive_desc& found) {
        return std::string_view{found.impl_info_str()}.starts_with("jit_1x1:");
    };
    const convolution::primitive_desc multiply =
        describe({{outputs, inputs, 1, 1}, f32, tag::any}, strict_attributes());
    const memory::desc packed = multiply.weights_desc();
    const convolution::primitive_desc multiply_add = describe(packed, adding_attributes());
    if (!is_specialised(multiply) || !is_specialised(multiply_add)) return std::nullopt;
    return Primitives{.multiply = convolution{multiply},
                      .multiply_add = convolution{multiply_add},
                      .in = in,
                      .out = out,
                      .plain_weights = {{outputs, inputs, 1, 1}, f32, tag::oihw},
                      .packed_weights = packed,
                      .outputs_axis = 0,
                      .scratchpad = multiply.scratchpad_desc(),
                      .add_scratchpad = multiply_add.scratchpad_desc(),
                      .room = {},
                      .weights = {}};
}

PackedMatrix::PackedMatrix(MatrixLibrary& library, std::int64_t outputs, std::int64_t inputs)
    : library_{&library}, outputs_{outputs}, inputs_{inputs} {
    const OneOpenMpThread one_thread;
    try {
        MatrixLibrary::Handles& handles = *library.handles_;
        std::optional<Primitives> convolution;
        if (library.set_ != InstructionSet::avx512) {
            convolution = as_convolution(library, outputs, inputs);
        }
        primitives_ = std::make_unique<Primitives>(
            convolution ? std::move(*convolution) : as_matmul(library, outputs, inputs));
        primitives_->room = handles.weights.take(primitives_->packed_weights.get_size());
        primitives_->weights =
            dnnl::memory{primitives_->packed_weights, handles.engine, primitives_->room.get()};
        handles.reserve_scratchpad(
            std::max(primitives_->scratchpad.get_size(), primitives_->add_scratchpad.get_size()));
    } catch (const dnnl::error& error) {
        rethrow(error, "prepare", outputs_, inputs_, library_->precision_);
    }
}

std::int64_t PackedMatrix::packing_rows() const {
    const dnnl_blocking_desc_t& blocking = primitives_->packed_weights.data.format_desc.blocking;
    std::int64_t block = 1;
    for (int i = 0; i < blocking.inner_nblks; ++i) {
        if (blocking.inner_idxs[i] == primitives_->outputs_axis) block *= blocking.inner_blks[i];
    }
    return (least_packing_rows + block - 1) / block * block;
}

void PackedMatrix::pack(std::int64_t first, std::span<const float> rows, std::uint32_t thread) {
    const OneOpenMpThread one_thread;
    MatrixLibrary::Handles& handles = *library_->handles_;
    const dnnl::stream& stream = handles.threads[thread].stream;
    const auto axis = static_cast<std::size_t>(primitives_->outputs_axis);
    dnnl::memory::dims shape = primitives_->packed_weights.dims();
    shape[axis] = static_cast<std::int64_t>(rows.size()) / inputs_;
    dnnl::memory::dims origin(shape.size(), 0);
    assert(first % packing_rows() == 0 && first + shape[axis] <= outputs_);
    try {
        dnnl::memory source{primitives_->plain_weights.submemory_desc(shape, origin),
                            handles.engine, const_cast<float*>(rows.data())};
        origin[axis] = first;
        // Where the rows begin is told by the address, so that all of them share a primitive.
        dnnl::memory::desc part = primitives_->packed_weights.submemory_desc(shape, origin);
        const std::int64_t offset = std::exchange(part.data.offset0, 0);
        auto* begin = static_cast<std::byte*>(primitives_->weights.get_data_handle()) +
                      offset * (library_->precision_ == Precision::bf16 ? 2 : 4);
        dnnl::memory target{part, handles.engine, begin};
        dnnl::reorder{source, target}.execute(stream, source, target);
        handles.threads[thread].stream.wait();
    } catch (const dnnl::error& error) {
        rethrow(error, "pack", outputs_, inputs_, library_->precision_);
    }
}

PackedMatrix::~PackedMatrix() = default;
PackedMatrix::PackedMatrix(PackedMatrix&&) noexcept = default;

std::uint64_t PackedMatrix::bytes() const noexcept {
    return primitives_->weights.get_desc().get_size();
}

void PackedMatrix::multiply(const void* in, float* out, std::uint32_t thread) const {
    execute(false, in, out, thread);
}

void PackedMatrix::multiply_add(const void* in, float* sum, std::uint32_t thread) const {
    execute(true, in, sum, thread);
}

void PackedMatrix::execute(bool add, const void* in, float* out, std::uint32_t thread) const {
    const OneOpenMpThread one_thread;
    MatrixLibrary::Handles& handles = *library_->handles_;
    MatrixLibrary::Handles::PerThread& mine = handles.threads[thread];
    void* scratchpad = mine.scratchpad.data();
    std::size_t room = mine.scratchpad.size();
    std::align(64, 1, scratchpad, room);
    try {
        dnnl::memory source{primitives_->in, handles.engine, const_cast<void*>(in)};
        dnnl::memory target{primitives_->out, handles.engine, out};
        dnnl::memory work{add ? primitives_->add_scratchpad : primitives_->scratchpad,
                          handles.engine, scratchpad};
        (add ? primitives_->multiply_add : primitives_->multiply)
            .execute(mine.stream, {{DNNL_ARG_SRC, source},
                                   {DNNL_ARG_WEIGHTS, primitives_->weights},
                                   {DNNL_ARG_DST, target},
                                   {DNNL_ARG_SCRATCHPAD, work}});
        mine.stream.wait();
    } catch (const dnnl::error& error) {
        rethrow(error, "compute", outputs_, inputs_, library_->precision_);
    }
}

}  // namespace longrope::evaluator::cpu
