// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/cudnn_attention.hpp"

// The one source that includes cuDNN's frontend, which takes long to compile. With dynamic loading
// it wants neither NVRTC nor the driver at link time.
#include <cudnn_frontend.h>
#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

#include "evaluator/evaluator.hpp"

namespace cudnn_frontend {
void* cudnn_dlhandle = nullptr;  // the frontend declares it and leaves it to the program
}

namespace longrope::evaluator::cuda {
namespace {

namespace fe = cudnn_frontend;

constexpr const char* library_file = "libcudnn.so.9";
/// Forward attention needs little or none; a plan that wants more is refused.
constexpr std::uint64_t largest_workspace = std::uint64_t{64} << 20U;
/// cuDNN's kernels may index with 32 bits.
constexpr std::int64_t largest_tensor = (std::int64_t{1} << 31U) - 1;

enum TensorId : std::int64_t { query_id = 1, key_id, value_id, out_id, statistics_id };

std::string describe(const AttentionSegment& shape) {
    return fmt::format(
        "attention of {} queries to {} keys, {}/{} heads of {} components, {}, bfloat16",
        shape.query_rows, shape.keys, shape.heads, shape.kv_heads, shape.head_dim,
        shape.causal ? "causal" : "not masked");
}

void check(fe::error_t status, const AttentionSegment& shape, const char* step) {
    if (status.is_good()) return;
    throw EvaluatorError{fmt::format(
        "cannot plan {}: cuDNN {} refuses ({}): {}. It serves heads of up to 256 "
        "components (128 on older devices), a multiple of 8",
        describe(shape), fe::detail::get_backend_version_string(), step, status.get_message())};
}

void check(cudnnStatus_t status, const std::string& intent) {
    if (status == CUDNN_STATUS_SUCCESS) return;
    throw EvaluatorError{
        fmt::format("cannot {}: cuDNN says {}", intent, fe::detail::get_error_string(status))};
}

/// Elements from the first to the last of [heads, rows, head_dim], both included.
std::int64_t span_of(std::int64_t heads, std::int64_t rows, std::int64_t head_dim,
                     std::int64_t head_stride, std::int64_t row_stride) {
    return (heads - 1) * head_stride + (rows - 1) * row_stride + head_dim;
}

void require_index_range(const AttentionSegment& shape) {
    const std::int64_t largest = std::max({span_of(shape.heads, shape.query_rows, shape.head_dim,
                                                   shape.query_head_stride, shape.query_row_stride),
                                           span_of(shape.kv_heads, shape.keys, shape.head_dim,
                                                   shape.key_head_stride, shape.key_row_stride),
                                           span_of(shape.heads, shape.query_rows, shape.head_dim,
                                                   shape.out_head_stride, shape.out_row_stride)});
    if (largest <= largest_tensor) return;
    throw EvaluatorError{
        fmt::format("cannot compute {}: a tensor spans {} elements, at most {} "
                    "are served",
                    describe(shape), largest, largest_tensor)};
}

/// @returns why it cannot be opened; empty if it is
std::string open_library(void*& handle, const std::string& file, int visibility) {
    handle = ::dlopen(file.c_str(), RTLD_NOW | visibility);
    if (handle != nullptr) return {};
    const char* const reason = ::dlerror();
    return reason != nullptr ? reason : fmt::format("{} cannot be loaded", file);
}

/// Opens NVRTC, and the library that NVRTC opens by name when it compiles first.
/// @returns why not; empty if both are open
std::string load_compiler() {
    void* compiler = nullptr;
    std::string missing =
        open_library(compiler, fmt::format("libnvrtc.so.{}", CUDART_VERSION / 1000), RTLD_GLOBAL);
    if (!missing.empty()) return missing;
    using VersionOf = int(int* major, int* minor);
    auto* const version_of = reinterpret_cast<VersionOf*>(::dlsym(compiler, "nvrtcVersion"));
    int major = 0;
    int minor = 0;
    if (version_of == nullptr || version_of(&major, &minor) != 0) {
        return "libnvrtc.so does not say its version";
    }
    void* builtins = nullptr;
    return open_library(builtins, fmt::format("libnvrtc-builtins.so.{}.{}", major, minor),
                        RTLD_GLOBAL);
}

/// cuDNN 9 is built for one major version of CUDA, which its name does not say.
std::string other_cuda() {
    using VersionOf = std::size_t();
    auto* const version_of =
        reinterpret_cast<VersionOf*>(::dlsym(fe::cudnn_dlhandle, "cudnnGetCudartVersion"));
    constexpr std::size_t ours = CUDART_VERSION / 1000;
    if (version_of == nullptr || version_of() / 1000 == ours) return {};
    return fmt::format("{} is for CUDA {}, this program for CUDA {}", library_file,
                       version_of() / 1000, ours);
}

/// Opens cuDNN once for the process. It compiles its kernels of attention with NVRTC, which it
/// opens by name when the first is planned, and then says little of one that is missing. Opened
/// here they are found where this program's own CUDA libraries are.
/// @returns why not; empty if all are open
const std::string& load_library() {
    static const std::string failure = []() -> std::string {
        if (const std::string missing = load_compiler(); !missing.empty()) {
            return fmt::format("NVRTC is missing: {}", missing);
        }
        const std::string missing = open_library(fe::cudnn_dlhandle, library_file, RTLD_LOCAL);
        return missing.empty() ? other_cuda() : missing;
    }();
    return failure;
}

void require_library() {
    if (const std::string& failure = load_library(); !failure.empty()) {
        throw EvaluatorError{
            fmt::format("cannot load cuDNN 9, which attention needs: {}", failure)};
    }
}

/// The graph of softmax(scale * Q Kᵀ) V with its log-sum-exp. @returns it validated
std::shared_ptr<fe::graph::Graph> describe_graph(const AttentionSegment& shape, int sm_version) {
    auto graph = std::make_shared<fe::graph::Graph>();
    graph->set_io_data_type(fe::DataType_t::BFLOAT16)
        .set_intermediate_data_type(fe::DataType_t::FLOAT)
        .set_compute_data_type(fe::DataType_t::FLOAT)
        .set_sm_version(sm_version)
        // No CUDA graph is captured; to hold resources for one, the frontend would open whatever
        // libcudart it finds by name, at the first execution, and throw where there is none.
        .set_cuda_graph_retention(fe::CudaGraphRetention_t::NONE);
    // [batch, heads, rows, components]; the one batch's stride says nothing.
    const auto tensor = [&](TensorId id, const char* name, std::int64_t heads, std::int64_t rows,
                            std::int64_t head_stride, std::int64_t row_stride) {
        return graph->tensor(fe::graph::Tensor_attributes()
                                 .set_name(name)
                                 .set_uid(id)
                                 .set_dim({1, heads, rows, shape.head_dim})
                                 .set_stride({heads * head_stride, head_stride, row_stride, 1}));
    };
    const auto queries = tensor(query_id, "queries", shape.heads, shape.query_rows,
                                shape.query_head_stride, shape.query_row_stride);
    const auto keys = tensor(key_id, "keys", shape.kv_heads, shape.keys, shape.key_head_stride,
                             shape.key_row_stride);
    const auto values = tensor(value_id, "values", shape.kv_heads, shape.keys,
                               shape.key_head_stride, shape.key_row_stride);
    auto options = fe::graph::SDPA_attributes()
                       .set_name("attention")
                       .set_generate_stats(true)
                       .set_attn_scale(shape.scale);
    if (shape.causal) {
        options.set_diagonal_alignment(fe::DiagonalAlignment_t::TOP_LEFT)
            .set_diagonal_band_right_bound(0);
    }
    const auto [out, statistics] = graph->sdpa(queries, keys, values, options);
    out->set_output(true)
        .set_uid(out_id)
        .set_dim({1, shape.heads, shape.query_rows, shape.head_dim})
        .set_stride(
            {shape.heads * shape.out_head_stride, shape.out_head_stride, shape.out_row_stride, 1});
    statistics->set_output(true)
        .set_uid(statistics_id)
        .set_data_type(fe::DataType_t::FLOAT)
        .set_dim({1, shape.heads, shape.query_rows, 1})
        .set_stride({shape.heads * shape.query_rows, shape.query_rows, 1, 1});
    check(graph->validate(), shape, "validation");
    return graph;
}

/// Takes the first plan that cuDNN's heuristics propose, its engines accept and it can build.
void choose_plan(fe::graph::Graph& graph, const AttentionSegment& shape) {
    check(graph.create_execution_plans({fe::HeurMode_t::A, fe::HeurMode_t::FALLBACK}), shape,
          "heuristics");
    check(graph.check_support(), shape, "support");
    check(graph.build_plans(fe::BuildPlanPolicy_t::HEURISTICS_CHOICE), shape, "build");
}

std::uint64_t workspace_of(const fe::graph::Graph& graph, const AttentionSegment& shape) {
    std::int64_t bytes = 0;
    check(graph.get_workspace_size(bytes), shape, "workspace");
    if (std::cmp_greater(bytes, largest_workspace)) {
        throw EvaluatorError{
            fmt::format("cannot compute {}: cuDNN wants {} bytes of workspace, at "
                        "most {} are set aside",
                        describe(shape), bytes, largest_workspace)};
    }
    return static_cast<std::uint64_t>(bytes);
}

/// Each holds memory that no plan of ours counts. A document's length decides a few, a sliding
/// window meets other lengths at the end of every document.
constexpr std::size_t most_plans = 64;

/// Owns cuDNN's handle.
class Handle {
public:
    Handle() { check(fe::detail::create_handle(&handle_), "start cuDNN"); }
    Handle(const Handle&) = delete;
    Handle& operator=(const Handle&) = delete;
    ~Handle() { fe::detail::destroy_handle(handle_); }
    [[nodiscard]] cudnnHandle_t get() const noexcept { return handle_; }

private:
    cudnnHandle_t handle_ = nullptr;
};

/// Everything of a shape, since every stride is in the plan.
auto key_of(const AttentionSegment& s) {
    return std::tuple{s.query_rows,        s.keys,           s.heads,           s.kv_heads,
                      s.head_dim,          s.causal,         s.scale,           s.query_row_stride,
                      s.query_head_stride, s.key_row_stride, s.key_head_stride, s.out_row_stride,
                      s.out_head_stride};
}

class CudnnAttention final : public SegmentAttention {
public:
    explicit CudnnAttention(DeviceRuntime& runtime)
        : runtime_{runtime}, sm_version_{runtime.facts().sm_version()} {}

    void attend(const AttentionSegment& shape, const void* queries, const void* keys,
                const void* values, void* out, float* log_sum_exp, Stream stream) override {
        const auto key = key_of(shape);
        auto plan = plans_.find(key);
        if (plan == plans_.end()) {
            if (plans_.size() == most_plans) {
                runtime_.synchronize(stream);  // what was queued still uses them
                plans_.clear();
            }
            plan = plans_.emplace(key, build(shape, stream)).first;
        }
        check(fe::detail::set_stream(handle_.get(), stream), "give cuDNN a stream");
        // cuDNN takes what it only reads as if it wrote there.
        std::unordered_map<std::int64_t, void*> pointers{{query_id, const_cast<void*>(queries)},
                                                         {key_id, const_cast<void*>(keys)},
                                                         {value_id, const_cast<void*>(values)},
                                                         {out_id, out},
                                                         {statistics_id, log_sum_exp}};
        check(plan->second->execute(handle_.get(), pointers, workspace_.data()), shape,
              "execution");
    }

    std::string version() const override {
        return "cudnn-" + fe::detail::get_backend_version_string();
    }
    std::uint64_t workspace_bytes() const noexcept override { return largest_workspace; }

private:
    using Plans = std::map<decltype(key_of({})), std::shared_ptr<fe::graph::Graph>>;

    std::shared_ptr<fe::graph::Graph> build(const AttentionSegment& shape, Stream stream) {
        require_index_range(shape);
        auto graph = describe_graph(shape, sm_version_);
        check(graph->build_operation_graph(handle_.get()), shape, "operation graph");
        choose_plan(*graph, shape);
        const std::uint64_t workspace = workspace_of(*graph, shape);
        if (workspace > workspace_.bytes()) {
            runtime_.synchronize(stream);  // what was queued may still use the old one
            workspace_ = DeviceAllocation{runtime_, workspace, "the workspace of attention"};
        }
        return graph;
    }

    DeviceRuntime& runtime_;
    int sm_version_;
    Handle handle_;
    DeviceAllocation workspace_;
    Plans plans_;
};

}  // namespace

std::unique_ptr<SegmentAttention> make_cudnn_attention(DeviceRuntime& runtime) {
    require_library();
    return std::make_unique<CudnnAttention>(runtime);
}

std::string cudnn_absence() {
    return load_library();
}

std::int64_t plans_without_device(const AttentionSegment& shape,
                                  const std::string& device_properties, int sm_version) {
    require_library();
    require_index_range(shape);
    auto device = std::make_shared<fe::DeviceProperties>();
    check(device->deserialize({device_properties.begin(), device_properties.end()}), shape,
          "device properties");
    auto graph = describe_graph(shape, sm_version);
    graph->set_device_properties(device);
    check(graph->build_operation_graph(), shape, "operation graph");
    choose_plan(*graph, shape);
    return graph->get_execution_plan_count();
}

}  // namespace longrope::evaluator::cuda
