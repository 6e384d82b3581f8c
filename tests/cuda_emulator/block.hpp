// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <source_location>
#include <span>
#include <stdexcept>
#include <vector>

#include "evaluator/cuda/kernels/launch.hpp"
#include "tests/cuda_emulator/fiber.hpp"

namespace longrope::tests::cuda_emulator {

/// A kernel did what CUDA leaves undefined, or waits for ever: what, and which threads.
class EmulatorError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// The threads of one block, on fibres. A fibre runs threads to their ends, one after the other;
/// only when one waits, at a barrier or in an exchange of its warp, does the next fibre take over.
/// So kernels that never wait run as a loop on a single fibre.
class Block {
public:
    using Extent = evaluator::cuda::Extent;

    /// Runs all threads of one block in `order` (a permutation of their numbers).
    /// @throws EmulatorError if a barrier or an exchange is not reached by all that it needs
    void run(const evaluator::cuda::LaunchShape& shape, const Extent& index,
             std::span<const unsigned> order, const std::function<void()>& thread);

    // What the running thread calls.
    void barrier(const std::source_location& where);
    std::uint64_t exchange(unsigned mask, std::uint64_t given, unsigned source,
                           const std::source_location& where);
    [[nodiscard]] unsigned lane() const noexcept { return running_ % 32; }
    [[nodiscard]] std::byte* shared_memory() noexcept { return shared_.data(); }

private:
    enum class State : std::uint8_t {
        not_begun,
        running,
        at_barrier,
        in_exchange,
        released,
        ended
    };
    struct Thread {
        State state = State::not_begun;
        Fiber* fiber = nullptr;
        std::source_location where{};
        unsigned mask = 0;
        unsigned source = 0;
        std::uint64_t value = 0;  // given, then received
    };
    struct Warp {
        unsigned waiting = 0;  // lanes in an exchange
        unsigned ended = 0;
    };
    struct Cancelled {};

    void run_threads(Fiber& fiber, const std::function<void()>& thread);
    void wait(State state, const std::source_location& where);
    void become(unsigned thread) noexcept;
    void cancel();
    [[nodiscard]] Fiber& next_fiber();
    void complete_exchange(unsigned first, unsigned mask, const std::source_location& where);
    [[noreturn]] void fail_waiting() const;

    evaluator::cuda::LaunchShape shape_;
    std::span<const unsigned> order_;
    std::size_t next_ = 0;  // of order_: the first thread that has not begun
    std::vector<Thread> threads_;
    std::vector<Warp> warps_;
    std::vector<std::byte> shared_;
    std::vector<std::unique_ptr<Fiber>> fibers_;
    std::size_t used_fibers_ = 0;  // by this block
    std::exception_ptr error_;
    unsigned running_ = 0;
    unsigned at_barrier_ = 0;
    bool cancelled_ = false;
};

}  // namespace longrope::tests::cuda_emulator
