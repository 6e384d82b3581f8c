// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "evaluator/cuda/device_runtime.hpp"
#include "evaluator/cuda/kernels/launch.hpp"
#include "tests/cuda_emulator/block.hpp"

namespace longrope::tests::cuda_emulator {

/// What a GPU leaves open, and a right program must not depend on.
struct EmulatorSettings {
    /// 0: blocks and the threads of a block in ascending order; else both shuffled by this seed.
    std::uint64_t shuffle = 0;
    /// Work of the copy stream runs as early as its events let it, else as late. Early, a copy
    /// finds whoever still reads what it overwrites; late, whoever does not wait for it.
    bool copies_first = false;
    /// No more is taken of the host than is allocated; the plan sets two GiB of it aside for CUDA.
    std::uint64_t memory_bytes = std::uint64_t{16} << 30U;
    std::uint64_t held_by_others = 0;  ///< of it
};

/// A CUDA device of host memory and fibres: kernels queued with launch() on its streams run when
/// somebody waits for them. Device memory is filled with 0xFF, NaN in float32 and bfloat16, and
/// lies between guards that are checked after each kernel. No lanes in parallel, no caches, no
/// speed: it shows what a kernel computes, not how fast, and finds races only where another order
/// of threads shows in the results.
class Emulator final : public evaluator::cuda::DeviceRuntime {
public:
    using Stream = evaluator::cuda::Stream;
    using Event = evaluator::cuda::Event;

    explicit Emulator(const EmulatorSettings& settings = {});
    Emulator(const Emulator&) = delete;
    Emulator& operator=(const Emulator&) = delete;
    ~Emulator() override;

    /// Kernels run this block alone from here on: enough to see where one of millions writes.
    void run_only_block(unsigned x, unsigned y = 0) { only_block_ = {x, y, 0}; }
    /// Queues work that is not a kernel: what a vendor's library would do.
    void queue(Stream stream, std::function<void()> work);
    /// Most bytes that were allocated at a time.
    [[nodiscard]] std::uint64_t peak_bytes() const noexcept { return peak_bytes_; }
    [[nodiscard]] std::uint64_t peak_pinned_bytes() const noexcept { return peak_pinned_bytes_; }

    [[nodiscard]] const evaluator::cuda::DeviceFacts& facts() const noexcept override;
    [[nodiscard]] std::uint64_t free_bytes() const override;
    [[nodiscard]] Stream compute_stream() const noexcept override;
    [[nodiscard]] Stream copy_stream() const noexcept override;
    [[nodiscard]] std::byte* allocate(std::uint64_t bytes, const char* purpose) override;
    void release(std::byte* memory) noexcept override;
    [[nodiscard]] std::byte* allocate_pinned(std::uint64_t bytes, const char* purpose) override;
    void release_pinned(std::byte* memory) noexcept override;
    void copy_to_device(std::byte* to, const std::byte* from, std::uint64_t bytes,
                        Stream stream) override;
    void copy_to_host(std::byte* to, const std::byte* from, std::uint64_t bytes,
                      Stream stream) override;
    void fill_zero(std::byte* memory, std::uint64_t bytes, Stream stream) override;
    [[nodiscard]] Event create_event() override;
    void destroy_event(Event event) noexcept override;
    void record(Event event, Stream stream) override;
    void wait(Stream stream, Event event) override;
    void synchronize(Stream stream) override;

    /// What launch() calls through the stream.
    void queue_kernel(Stream stream, const evaluator::cuda::LaunchShape& shape,
                      std::function<void()> thread);

private:
    struct Allocation {
        std::unique_ptr<std::byte[]> memory;  // guard, data, guard
        std::uint64_t bytes = 0;
    };

    void run_kernel(const evaluator::cuda::LaunchShape& shape, const std::function<void()>& thread);
    void check_guards() const;
    [[nodiscard]] bool is_pinned(const std::byte* memory) const;
    bool run_one(Stream stream);
    void run_until_empty(Stream stream);

    EmulatorSettings settings_;
    evaluator::cuda::DeviceFacts facts_;
    std::unique_ptr<CUstream_st> compute_;
    std::unique_ptr<CUstream_st> copy_;
    std::vector<std::unique_ptr<CUevent_st>> events_;
    std::map<std::byte*, Allocation> allocations_;  // by the data's address
    std::map<std::byte*, std::vector<std::byte>> pinned_;
    std::uint64_t bytes_ = 0;
    std::uint64_t peak_bytes_ = 0;
    std::uint64_t pinned_bytes_ = 0;
    std::uint64_t peak_pinned_bytes_ = 0;
    std::optional<evaluator::cuda::Extent> only_block_;
    Block block_;
};

}  // namespace longrope::tests::cuda_emulator
