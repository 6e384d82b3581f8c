// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulator/block.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace longrope::evaluator::cuda {

Extent gridDim;
Extent blockDim;
Extent blockIdx;
Extent threadIdx;

}  // namespace longrope::evaluator::cuda

namespace longrope::tests::cuda_emulator {
namespace {

using evaluator::cuda::blockDim;
using evaluator::cuda::blockIdx;
using evaluator::cuda::gridDim;
using evaluator::cuda::threadIdx;

constexpr unsigned warp_lanes = 32;

std::string text(const std::source_location& where) {
    const std::string_view file{where.file_name()};
    return fmt::format("{}:{}", file.substr(file.rfind('/') + 1), where.line());
}

bool same(const std::source_location& a, const std::source_location& b) {
    return a.line() == b.line() && a.column() == b.column() &&
           std::string_view{a.file_name()} == b.file_name();
}

}  // namespace

void Block::run(const evaluator::cuda::LaunchShape& shape, const Extent& index,
                std::span<const unsigned> order, const std::function<void()>& thread) {
    shape_ = shape;
    order_ = order;
    next_ = 0;
    threads_.assign(order.size(), {});
    warps_.assign((order.size() + warp_lanes - 1) / warp_lanes, {});
    used_fibers_ = 0;
    shared_.assign(shape.shared_bytes, std::byte{0xFF});  // NaN until written
    at_barrier_ = 0;
    error_ = nullptr;
    gridDim = shape.grid;
    blockDim = shape.block;
    blockIdx = index;

    while (next_ < order_.size() && !error_) {
        Fiber& fiber = next_fiber();
        fiber.start([this, &fiber, &thread] { run_threads(fiber, thread); });
    }
    for (bool progress = true; progress && !error_;) {
        progress = false;
        for (const unsigned id : order_) {
            if (threads_[id].state != State::released) continue;
            progress = true;
            become(id);
            threads_[id].fiber->resume();
            if (error_) break;
        }
    }
    const bool waits = std::any_of(threads_.begin(), threads_.end(),
                                   [](const Thread& one) { return one.state != State::ended; });
    if (!error_ && !waits) return;
    cancel();
    if (error_) std::rethrow_exception(error_);
    fail_waiting();
}

/// Runs on a fibre: threads that have not begun, until there is none.
void Block::run_threads(Fiber& fiber, const std::function<void()>& thread) {
    try {
        while (next_ < order_.size()) {
            const unsigned id = order_[next_++];
            threads_[id].fiber = &fiber;
            become(id);
            thread();
            threads_[running_].state = State::ended;
            warps_[running_ / warp_lanes].ended |= 1U << lane();
        }
    } catch (const Cancelled&) {
    } catch (...) {
        if (!error_) error_ = std::current_exception();
    }
}

void Block::become(unsigned thread) noexcept {
    running_ = thread;
    threads_[thread].state = State::running;
    threadIdx = {thread % shape_.block.x, thread / shape_.block.x % shape_.block.y,
                 thread / (shape_.block.x * shape_.block.y)};
}

/// No fibre is free again before all threads have begun.
Fiber& Block::next_fiber() {
    if (used_fibers_ == fibers_.size()) fibers_.push_back(std::make_unique<Fiber>());
    return *fibers_[used_fibers_++];
}

void Block::wait(State state, const std::source_location& where) {
    Thread& self = threads_[running_];
    self.state = state;
    self.where = where;
    self.fiber->suspend();
    if (cancelled_) throw Cancelled{};
}

void Block::barrier(const std::source_location& where) {
    if (++at_barrier_ < threads_.size()) return wait(State::at_barrier, where);
    // The last to come: all others wait, and at this very barrier, or it is not one barrier.
    at_barrier_ = 0;
    for (Thread& thread : threads_) {
        if (&thread == &threads_[running_]) continue;
        if (!same(thread.where, where)) {
            throw EmulatorError{
                fmt::format("divergent barrier: thread {} waits at {}, thread {} at {}",
                            &thread - threads_.data(), text(thread.where), running_, text(where))};
        }
        thread.state = State::released;
    }
}

std::uint64_t Block::exchange(unsigned mask, std::uint64_t given, unsigned source,
                              const std::source_location& where) {
    Thread& self = threads_[running_];
    Warp& warp = warps_[running_ / warp_lanes];
    const unsigned first = running_ / warp_lanes * warp_lanes;
    source %= warp_lanes;
    const auto fail = [&](const std::string& what) {
        throw EmulatorError{
            fmt::format("wrong shuffle mask {:#010x} at {}: lane {} of thread {} {}", mask,
                        text(where), lane(), running_, what)};
    };
    const std::size_t lanes = std::min<std::size_t>(threads_.size() - first, warp_lanes);
    const unsigned there = lanes == warp_lanes ? ~0U : (1U << lanes) - 1U;
    if ((mask >> lane() & 1U) == 0) fail("is not in it");
    if ((mask >> source & 1U) == 0) fail(fmt::format("reads lane {}, which is not in it", source));
    if ((mask & ~there) != 0) fail("waits for lanes that the block does not have");
    if ((mask & warp.ended) != 0) fail("waits for lanes that have ended");
    self.mask = mask;
    self.source = source;
    self.value = given;
    self.where = where;
    warp.waiting |= 1U << lane();
    if ((warp.waiting & mask) == mask) {
        complete_exchange(first, mask, where);
    } else {
        wait(State::in_exchange, where);
    }
    return self.value;
}

/// All lanes of the mask have come; the running thread was the last.
void Block::complete_exchange(unsigned first, unsigned mask, const std::source_location& where) {
    std::uint64_t values[warp_lanes] = {};
    for (unsigned lane = 0; lane < warp_lanes; ++lane) {
        if ((mask >> lane & 1U) == 0) continue;
        const Thread& thread = threads_[first + lane];
        if (thread.mask != mask || !same(thread.where, where)) {
            throw EmulatorError{fmt::format(
                "wrong shuffle mask {:#010x} at {}: thread {} meets thread {} with {:#010x} at {}",
                mask, text(where), running_, first + lane, thread.mask, text(thread.where))};
        }
        values[lane] = thread.value;
    }
    for (unsigned lane = 0; lane < warp_lanes; ++lane) {
        if ((mask >> lane & 1U) == 0) continue;
        Thread& thread = threads_[first + lane];
        thread.value = values[thread.source];
        if (first + lane != running_) thread.state = State::released;
    }
    warps_[first / warp_lanes].waiting &= ~mask;
}

/// Unwinds the threads that wait, so that their fibres are free again.
void Block::cancel() {
    cancelled_ = true;
    next_ = order_.size();
    for (const auto& fiber : fibers_) {
        if (!fiber->idle()) fiber->resume();
    }
    cancelled_ = false;
}

void Block::fail_waiting() const {
    std::string what;
    for (std::size_t id = 0; id < threads_.size(); ++id) {
        const Thread& thread = threads_[id];
        if (thread.state == State::in_exchange) {
            throw EmulatorError{fmt::format(
                "wrong shuffle mask {:#010x} at {}: thread {} waits for lanes that do not "
                "come",
                thread.mask, text(thread.where), id)};
        }
        if (what.size() > 300) continue;
        what += thread.state == State::ended
                    ? fmt::format("; thread {} has ended", id)
                    : fmt::format("; thread {} waits at {}", id, text(thread.where));
    }
    throw EmulatorError{"divergent barrier: not all threads of the block reach it" + what};
}

}  // namespace longrope::tests::cuda_emulator
