// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulator/emulator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <numeric>
#include <random>
#include <utility>

#include "evaluator/evaluator.hpp"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

/// Queued work of a stream, in order.
struct CUstream_st {
    struct Item {
        std::function<void()> work;
        CUevent_st* awaited = nullptr;  // with no work: goes on when this event
        std::uint64_t version = 0;      // was reached so many times
    };
    longrope::tests::cuda_emulator::Emulator* emulator = nullptr;
    std::deque<Item> items;
};

struct CUevent_st {
    std::uint64_t recorded = 0;  // how often it was queued
    std::uint64_t reached = 0;   // how often a stream came to it
};

namespace longrope::tests::cuda_emulator {
namespace {

using evaluator::cuda::Extent;
using evaluator::cuda::LaunchShape;

constexpr std::uint64_t guard_bytes = 256;
constexpr std::byte untouched{0xFF};

/// The block whose threads run: what the words of CUDA C++ in a kernel turn to.
thread_local Block* running_block = nullptr;

/// 0, 1, …, or shuffled.
std::vector<unsigned> order_of(std::uint64_t count, std::uint64_t shuffle) {
    std::vector<unsigned> order(count);
    std::iota(order.begin(), order.end(), 0U);
    if (shuffle != 0) {
        std::mt19937_64 random{shuffle};
        for (std::uint64_t i = count; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
    }
    return order;
}

/// Guards are 0xFF too, so that what is read there is NaN, and out of bounds for the sanitizer.
void guard(std::byte* at) {
    std::memset(at, 0xFF, guard_bytes);
#if defined(__SANITIZE_ADDRESS__)
    __asan_poison_memory_region(at, guard_bytes);
#endif
}

[[maybe_unused]] bool intact(const std::byte* at) {
    return std::all_of(at, at + guard_bytes, [](std::byte byte) { return byte == untouched; });
}

}  // namespace

Emulator::Emulator(const EmulatorSettings& settings)
    : settings_{settings},
      facts_{.name = "emulator",
             .uuid = "GPU-emulator",
             .architecture = "emulator",
             .total_bytes = settings.memory_bytes},
      compute_{std::make_unique<CUstream_st>()},
      copy_{std::make_unique<CUstream_st>()} {
    compute_->emulator = this;
    copy_->emulator = this;
}

Emulator::~Emulator() = default;

const evaluator::cuda::DeviceFacts& Emulator::facts() const noexcept {
    return facts_;
}
std::uint64_t Emulator::free_bytes() const {
    return settings_.memory_bytes - settings_.held_by_others - bytes_;
}
Emulator::Stream Emulator::compute_stream() const noexcept {
    return compute_.get();
}
Emulator::Stream Emulator::copy_stream() const noexcept {
    return copy_.get();
}

std::byte* Emulator::allocate(std::uint64_t bytes, const char* purpose) {
    if (bytes == 0 || bytes > free_bytes()) {
        throw evaluator::EvaluatorError{
            fmt::format("cannot allocate {} bytes for {} on the emulator: {} of {} bytes are free",
                        bytes, purpose, free_bytes(), settings_.memory_bytes)};
    }
    // The upper guard begins where the data ends; the data is aligned as a GPU's is.
    auto memory = std::make_unique_for_overwrite<std::byte[]>(bytes + 3 * guard_bytes);
    const auto address = reinterpret_cast<std::uintptr_t>(memory.get());
    std::byte* data = memory.get() + guard_bytes + (guard_bytes - address % guard_bytes);
    std::memset(data, 0xFF, bytes);
    guard(data - guard_bytes);
    guard(data + bytes);
    allocations_.emplace(data, Allocation{std::move(memory), bytes});
    bytes_ += bytes;
    peak_bytes_ = std::max(peak_bytes_, bytes_);
    return data;
}

void Emulator::release(std::byte* memory) noexcept {
    try {
        run_until_empty(compute_.get());
        run_until_empty(copy_.get());
    } catch (...) {  // whoever waits next is told: a release reports nothing
        compute_->items.push_front(
            {.work = [error = std::current_exception()] { std::rethrow_exception(error); }});
    }
    const auto found = allocations_.find(memory);
#if defined(__SANITIZE_ADDRESS__)
    __asan_unpoison_memory_region(memory - guard_bytes, found->second.bytes + 2 * guard_bytes);
#endif
    bytes_ -= found->second.bytes;
    allocations_.erase(found);
}

std::byte* Emulator::allocate_pinned(std::uint64_t bytes, const char* /*purpose*/) {
    std::vector<std::byte> memory(bytes, untouched);
    std::byte* data = memory.data();
    pinned_.emplace(data, std::move(memory));
    pinned_bytes_ += bytes;
    peak_pinned_bytes_ = std::max(peak_pinned_bytes_, pinned_bytes_);
    return data;
}

void Emulator::release_pinned(std::byte* memory) noexcept {
    pinned_bytes_ -= pinned_.at(memory).size();
    pinned_.erase(memory);
}

bool Emulator::is_pinned(const std::byte* memory) const {
    return std::any_of(pinned_.begin(), pinned_.end(), [memory](const auto& entry) {
        const auto& [data, held] = entry;
        return !std::less<>{}(memory, data) && std::less<>{}(memory, data + held.size());
    });
}

void Emulator::queue(Stream stream, std::function<void()> work) {
    stream->items.push_back({.work = std::move(work)});
}

void Emulator::queue_kernel(Stream stream, const LaunchShape& shape, std::function<void()> thread) {
    const auto limits = [](const char* what, std::uint64_t found, std::uint64_t most) {
        if (found >= 1 && found <= most) return;
        throw EmulatorError{
            fmt::format("a launch with {} {}: CUDA takes 1 to {}", found, what, most)};
    };
    limits("blocks in x", shape.grid.x, 2147483647);
    limits("blocks in y", shape.grid.y, 65535);
    limits("blocks in z", shape.grid.z, 65535);
    limits("threads in a block", std::uint64_t{shape.block.x} * shape.block.y * shape.block.z,
           1024);
    queue(stream, [this, shape, thread = std::move(thread)] { run_kernel(shape, thread); });
}

void Emulator::run_kernel(const LaunchShape& shape, const std::function<void()>& thread) {
    const auto threads = std::uint64_t{shape.block.x} * shape.block.y * shape.block.z;
    running_block = &block_;
    if (only_block_) {
        block_.run(shape, *only_block_, order_of(threads, settings_.shuffle), thread);
    } else {
        const auto blocks = std::uint64_t{shape.grid.x} * shape.grid.y * shape.grid.z;
        for (const unsigned index : order_of(blocks, settings_.shuffle)) {
            const Extent block{index % shape.grid.x, index / shape.grid.x % shape.grid.y,
                               index / shape.grid.x / shape.grid.y};
            const std::uint64_t seed = settings_.shuffle == 0 ? 0 : settings_.shuffle + index;
            block_.run(shape, block, order_of(threads, seed), thread);
        }
    }
    check_guards();
}

void Emulator::check_guards() const {
#if !defined(__SANITIZE_ADDRESS__)  // which has seen it already, and would see us
    for (const auto& [data, allocation] : allocations_) {
        if (intact(data - guard_bytes) && intact(data + allocation.bytes)) continue;
        throw EmulatorError{fmt::format(
            "a kernel wrote out of the bounds of an allocation of {} bytes", allocation.bytes)};
    }
#endif
}

void Emulator::copy_to_device(std::byte* to, const std::byte* from, std::uint64_t bytes,
                              Stream stream) {
    if (is_pinned(from)) {
        queue(stream, [=] { std::memcpy(to, from, bytes); });
    } else {
        queue(stream, [to, taken = std::vector<std::byte>(from, from + bytes)] {
            std::copy(taken.begin(), taken.end(), to);
        });
    }
}

void Emulator::copy_to_host(std::byte* to, const std::byte* from, std::uint64_t bytes,
                            Stream stream) {
    queue(stream, [=] { std::memcpy(to, from, bytes); });
}

void Emulator::fill_zero(std::byte* memory, std::uint64_t bytes, Stream stream) {
    queue(stream, [=] { std::memset(memory, 0, bytes); });
}

Emulator::Event Emulator::create_event() {
    return events_.emplace_back(std::make_unique<CUevent_st>()).get();
}

void Emulator::destroy_event(Event /*event*/) noexcept {}  // queued work may still come to it

void Emulator::record(Event event, Stream stream) {
    ++event->recorded;
    queue(stream, [event, version = event->recorded] { event->reached = version; });
}

void Emulator::wait(Stream stream, Event event) {
    stream->items.push_back({.awaited = event, .version = event->recorded});
}

/// False if the stream is empty or waits for the other one.
bool Emulator::run_one(Stream stream) {
    if (stream->items.empty()) return false;
    const CUevent_st* awaited = stream->items.front().awaited;
    if (awaited != nullptr && awaited->reached < stream->items.front().version) return false;
    const CUstream_st::Item item = std::move(stream->items.front());
    stream->items.pop_front();
    if (item.work) item.work();
    return true;
}

void Emulator::run_until_empty(Stream stream) {
    CUstream_st* first = settings_.copies_first ? copy_.get() : compute_.get();
    CUstream_st* second = settings_.copies_first ? compute_.get() : copy_.get();
    while (!stream->items.empty()) {
        if (run_one(first) || run_one(second)) continue;
        throw EmulatorError{"the streams wait for each other"};
    }
}

void Emulator::synchronize(Stream stream) {
    run_until_empty(stream);
}

}  // namespace longrope::tests::cuda_emulator

namespace longrope::evaluator::cuda::host {

using tests::cuda_emulator::running_block;

void run(const LaunchShape& shape, Stream stream, std::function<void()> thread) {
    stream->emulator->queue_kernel(stream, shape, std::move(thread));
}

void barrier(const std::source_location& where) {
    running_block->barrier(where);
}

std::uint64_t exchange(unsigned mask, std::uint64_t given, unsigned source,
                       const std::source_location& where) {
    return running_block->exchange(mask, given, source, where);
}

unsigned lane() noexcept {
    return running_block->lane();
}

std::byte* shared_memory() noexcept {
    return running_block->shared_memory();
}

}  // namespace longrope::evaluator::cuda::host
