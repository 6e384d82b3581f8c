// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

// CUDA's own names of its handles: a cudaStream_t and a cudaEvent_t pass through unchanged, and no
// header of CUDA's is needed to carry them.
struct CUstream_st;
struct CUevent_st;

namespace longrope::evaluator::cuda {

/// A queue of work on the device; work of one stream runs in order. Null is not accepted.
using Stream = CUstream_st*;
using Event = CUevent_st*;

/// What a device is, as its runtime says.
struct DeviceFacts {
    std::string name;          ///< "NVIDIA H100 80GB HBM3"
    std::string uuid;          ///< "GPU-…"
    std::string architecture;  ///< "sm_90"
    int multiprocessors = 0;   ///< the libraries choose kernels by their number, too
    std::uint64_t total_bytes = 0;

    /// 90 of "sm_90"; 0 of what is no such name.
    [[nodiscard]] int sm_version() const noexcept {
        constexpr std::string_view prefix = "sm_";
        int version = 0;
        if (architecture.starts_with(prefix)) {
            const char* const begin = architecture.data() + prefix.size();
            std::from_chars(begin, architecture.data() + architecture.size(), version);
        }
        return version;
    }
};

/// Memory, copies and order of one device: CUDA's runtime, or the emulator's over host memory. All
/// but allocate, release and synchronize only queue work. Owns its two streams.
/// Errors: EvaluatorError, naming the device, what was attempted and on how many bytes.
class DeviceRuntime {
public:
    DeviceRuntime() = default;
    DeviceRuntime(const DeviceRuntime&) = delete;
    DeviceRuntime& operator=(const DeviceRuntime&) = delete;
    virtual ~DeviceRuntime() = default;

    [[nodiscard]] virtual const DeviceFacts& facts() const noexcept = 0;
    [[nodiscard]] virtual std::uint64_t free_bytes() const = 0;

    /// Kernels, products and attention.
    [[nodiscard]] virtual Stream compute_stream() const noexcept = 0;
    /// Weights on their way to the device while the other stream computes.
    [[nodiscard]] virtual Stream copy_stream() const noexcept = 0;

    /// Device memory with any content, aligned to 256 bytes; bytes > 0.
    /// @param purpose  for the error: "keys and values of a layer"
    [[nodiscard]] virtual std::byte* allocate(std::uint64_t bytes, const char* purpose) = 0;
    /// Waits for all queued work that may use it, as cudaFree does.
    virtual void release(std::byte* memory) noexcept = 0;
    /// Page-locked host memory, which copies read while the host goes on.
    [[nodiscard]] virtual std::byte* allocate_pinned(std::uint64_t bytes, const char* purpose) = 0;
    virtual void release_pinned(std::byte* memory) noexcept = 0;

    /// Pinned memory at `from` must stay as it is until the copy has run; of any other memory the
    /// call takes what it needs before it returns.
    virtual void copy_to_device(std::byte* to, const std::byte* from, std::uint64_t bytes,
                                Stream stream) = 0;
    /// `to` is complete after the stream is synchronised.
    virtual void copy_to_host(std::byte* to, const std::byte* from, std::uint64_t bytes,
                              Stream stream) = 0;
    virtual void fill_zero(std::byte* memory, std::uint64_t bytes, Stream stream) = 0;

    [[nodiscard]] virtual Event create_event() = 0;
    virtual void destroy_event(Event event) noexcept = 0;
    /// Marks the point that `stream` has been given work up to; an event may be recorded again.
    virtual void record(Event event, Stream stream) = 0;
    /// Work given to `stream` from here on waits for the last record of `event`.
    virtual void wait(Stream stream, Event event) = 0;
    /// Blocks until the stream is empty. Errors of queued work arise here at the latest.
    virtual void synchronize(Stream stream) = 0;
};

/// Owns device memory. Move-only; must not outlive its runtime.
class DeviceAllocation {
public:
    DeviceAllocation() = default;
    DeviceAllocation(DeviceRuntime& runtime, std::uint64_t bytes, const char* purpose)
        : runtime_{&runtime}, data_{runtime.allocate(bytes, purpose)}, bytes_{bytes} {}
    DeviceAllocation(DeviceAllocation&& other) noexcept { swap(other); }
    DeviceAllocation& operator=(DeviceAllocation&& other) noexcept {
        swap(other);  // `other` releases what we held
        return *this;
    }
    DeviceAllocation(const DeviceAllocation&) = delete;
    DeviceAllocation& operator=(const DeviceAllocation&) = delete;
    ~DeviceAllocation() {
        if (data_ != nullptr) runtime_->release(data_);
    }

    [[nodiscard]] std::byte* data() const noexcept { return data_; }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    template <class Element>
    [[nodiscard]] Element* as() const noexcept {
        return reinterpret_cast<Element*>(data_);
    }

private:
    void swap(DeviceAllocation& other) noexcept {
        std::swap(runtime_, other.runtime_);
        std::swap(data_, other.data_);
        std::swap(bytes_, other.bytes_);
    }

    DeviceRuntime* runtime_ = nullptr;
    std::byte* data_ = nullptr;
    std::uint64_t bytes_ = 0;
};

/// Owns page-locked host memory. Move-only; must not outlive its runtime.
class PinnedAllocation {
public:
    PinnedAllocation() = default;
    PinnedAllocation(DeviceRuntime& runtime, std::uint64_t bytes, const char* purpose)
        : runtime_{&runtime}, data_{runtime.allocate_pinned(bytes, purpose)} {}
    PinnedAllocation(PinnedAllocation&& other) noexcept
        : runtime_{other.runtime_}, data_{std::exchange(other.data_, nullptr)} {}
    PinnedAllocation& operator=(PinnedAllocation&& other) noexcept {
        std::swap(runtime_, other.runtime_);
        std::swap(data_, other.data_);  // `other` releases what we held
        return *this;
    }
    PinnedAllocation(const PinnedAllocation&) = delete;
    PinnedAllocation& operator=(const PinnedAllocation&) = delete;
    ~PinnedAllocation() {
        if (data_ != nullptr) runtime_->release_pinned(data_);
    }

    [[nodiscard]] std::byte* data() const noexcept { return data_; }

private:
    DeviceRuntime* runtime_ = nullptr;
    std::byte* data_ = nullptr;
};

/// Owns an event. Move-only; must not outlive its runtime.
class DeviceEvent {
public:
    explicit DeviceEvent(DeviceRuntime& runtime)
        : runtime_{&runtime}, event_{runtime.create_event()} {}
    DeviceEvent(DeviceEvent&& other) noexcept
        : runtime_{other.runtime_}, event_{std::exchange(other.event_, nullptr)} {}
    DeviceEvent& operator=(DeviceEvent&& other) noexcept {
        std::swap(runtime_, other.runtime_);
        std::swap(event_, other.event_);  // `other` destroys what we held
        return *this;
    }
    DeviceEvent(const DeviceEvent&) = delete;
    DeviceEvent& operator=(const DeviceEvent&) = delete;
    ~DeviceEvent() {
        if (event_ != nullptr) runtime_->destroy_event(event_);
    }

    [[nodiscard]] Event get() const noexcept { return event_; }

private:
    DeviceRuntime* runtime_;
    Event event_;
};

}  // namespace longrope::evaluator::cuda
