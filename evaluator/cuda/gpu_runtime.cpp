// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/gpu_runtime.hpp"

#include <cuda_runtime_api.h>
#include <fmt/format.h>

#include "evaluator/cuda/cuda_check.hpp"

namespace longrope::evaluator::cuda {
namespace {

/// "GPU-6b1d0a3c-…", as nvidia-smi and NVML spell it.
std::string uuid_text(const cudaUUID_t& uuid) {
    std::string text = "GPU";
    for (std::size_t i = 0; i < sizeof uuid.bytes; ++i) {
        if (i == 0 || i == 4 || i == 6 || i == 8 || i == 10) text += '-';
        text += fmt::format("{:02x}", static_cast<unsigned char>(uuid.bytes[i]));
    }
    return text;
}

DeviceFacts facts_of(int index) {
    cudaDeviceProp properties{};
    check(cudaGetDeviceProperties(&properties, index),
          fmt::format("read the properties of CUDA device {}", index));
    return {.name = properties.name,
            .uuid = uuid_text(properties.uuid),
            .architecture = fmt::format("sm_{}{}", properties.major, properties.minor),
            .multiprocessors = properties.multiProcessorCount,
            .total_bytes = properties.totalGlobalMem};
}

class GpuRuntime final : public DeviceRuntime {
public:
    explicit GpuRuntime(int index) : facts_{facts_of(index)} {
        check(cudaSetDevice(index), "use " + facts_.name);
        check(cudaStreamCreateWithFlags(&compute_, cudaStreamNonBlocking),
              "create a stream on " + facts_.name);
        check(cudaStreamCreateWithFlags(&copy_, cudaStreamNonBlocking),
              "create a stream on " + facts_.name);
    }
    GpuRuntime(const GpuRuntime&) = delete;
    GpuRuntime& operator=(const GpuRuntime&) = delete;
    ~GpuRuntime() override {
        cudaStreamDestroy(copy_);
        cudaStreamDestroy(compute_);
    }

    const DeviceFacts& facts() const noexcept override { return facts_; }

    std::uint64_t free_bytes() const override {
        std::size_t free = 0;
        std::size_t total = 0;
        check(cudaMemGetInfo(&free, &total), "read the free memory of " + facts_.name);
        return free;
    }

    Stream compute_stream() const noexcept override { return compute_; }
    Stream copy_stream() const noexcept override { return copy_; }

    std::byte* allocate(std::uint64_t bytes, const char* purpose) override {
        void* memory = nullptr;
        const cudaError_t status = cudaMalloc(&memory, bytes);
        if (status == cudaErrorMemoryAllocation) {
            cudaGetLastError();  // not sticky: the context lives on
            throw EvaluatorError{
                fmt::format("cannot allocate {} bytes on {} for {}: {} of {} bytes are free", bytes,
                            facts_.name, purpose, free_bytes(), facts_.total_bytes)};
        }
        check(status, fmt::format("allocate {} bytes on {} for {}", bytes, facts_.name, purpose));
        return static_cast<std::byte*>(memory);
    }

    void release(std::byte* memory) noexcept override { cudaFree(memory); }

    std::byte* allocate_pinned(std::uint64_t bytes, const char* purpose) override {
        void* memory = nullptr;
        check(cudaMallocHost(&memory, bytes),
              fmt::format("lock {} bytes of host memory for {}", bytes, purpose));
        return static_cast<std::byte*>(memory);
    }

    void release_pinned(std::byte* memory) noexcept override { cudaFreeHost(memory); }

    void copy_to_device(std::byte* to, const std::byte* from, std::uint64_t bytes,
                        Stream stream) override {
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyHostToDevice, stream),
              fmt::format("copy {} bytes to {}", bytes, facts_.name));
        // CUDA promises of pageable memory only that the copy may be over when the call returns.
        if (!is_pinned(from)) synchronize(stream);
    }

    void copy_to_host(std::byte* to, const std::byte* from, std::uint64_t bytes,
                      Stream stream) override {
        check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToHost, stream),
              fmt::format("copy {} bytes from {}", bytes, facts_.name));
    }

    void fill_zero(std::byte* memory, std::uint64_t bytes, Stream stream) override {
        check(cudaMemsetAsync(memory, 0, bytes, stream),
              fmt::format("clear {} bytes on {}", bytes, facts_.name));
    }

    Event create_event() override {
        cudaEvent_t event = nullptr;
        check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming),
              "create an event on " + facts_.name);
        return event;
    }

    void destroy_event(Event event) noexcept override { cudaEventDestroy(event); }

    void record(Event event, Stream stream) override {
        check(cudaEventRecord(event, stream), "record an event on " + facts_.name);
    }

    void wait(Stream stream, Event event) override {
        check(cudaStreamWaitEvent(stream, event, 0), "let a stream wait on " + facts_.name);
    }

    void synchronize(Stream stream) override {
        check(cudaStreamSynchronize(stream), "finish the work given to " + facts_.name);
    }

private:
    static bool is_pinned(const std::byte* memory) {
        cudaPointerAttributes attributes{};
        if (cudaPointerGetAttributes(&attributes, memory) != cudaSuccess) {
            cudaGetLastError();
            return false;
        }
        return attributes.type == cudaMemoryTypeHost;
    }

    DeviceFacts facts_;
    cudaStream_t compute_ = nullptr;
    cudaStream_t copy_ = nullptr;
};

}  // namespace

ProbeResult probe_devices() {
    ProbeResult result;
    cudaRuntimeGetVersion(&result.runtime_version);
    cudaDriverGetVersion(&result.driver_version);
    int count = 0;  // without a driver CUDA leaves it as it was
    const cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) {
        result.reason = fmt::format("{} ({}, CUDA error {})", cudaGetErrorString(status),
                                    cudaGetErrorName(status), static_cast<int>(status));
        // 35 also where there is no driver at all.
        if (status == cudaErrorInsufficientDriver && result.driver_version == 0) {
            result.reason =
                fmt::format("no NVIDIA driver: libcuda.so.1 cannot be used (CUDA error {})",
                            static_cast<int>(status));
        }
        return result;
    }
    for (int index = 0; index < count; ++index) result.devices.push_back(facts_of(index));
    if (result.devices.empty()) result.reason = "CUDA shows no device";
    return result;
}

std::uint64_t free_device_bytes(int index) {
    const std::string intent = fmt::format("read the free memory of CUDA device {}", index);
    check(cudaSetDevice(index), intent);
    std::size_t free = 0;
    std::size_t total = 0;
    check(cudaMemGetInfo(&free, &total), intent);
    return free;
}

std::unique_ptr<DeviceRuntime> open_gpu_runtime(int index) {
    return std::make_unique<GpuRuntime>(index);
}

}  // namespace longrope::evaluator::cuda
