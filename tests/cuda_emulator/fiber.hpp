// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/context/fiber.hpp>
#include <boost/context/protected_fixedsize_stack.hpp>
#include <cstddef>
#include <functional>

namespace longrope::tests::cuda_emulator {

/// Stacks between pages that nobody may touch. Given back, a stack keeps nothing of the address
/// sanitizer's: its last frame never returns, and other memory may come to lie there.
class FiberStacks {
public:
    explicit FiberStacks(std::size_t bytes) : pages_{bytes} {}
    [[nodiscard]] boost::context::stack_context allocate() { return pages_.allocate(); }
    void deallocate(boost::context::stack_context& stack) noexcept;

private:
    boost::context::protected_fixedsize_stack pages_;
};

/// A stack on which jobs run one after the other, each of which may stop half-way and be resumed: a
/// switch costs some 10 ns, so a block of a thousand CUDA threads is cheap. It tells the address
/// sanitizer about every switch, which Boost.Context as packaged does not.
class Fiber {
public:
    Fiber();
    Fiber(const Fiber&) = delete;
    Fiber& operator=(const Fiber&) = delete;
    ~Fiber();  ///< its last job must have ended

    /// Begins a job, and returns when the job suspends or ends. The job must not throw.
    void start(std::function<void()> job);
    /// Goes on with a job that has suspended.
    void resume();
    /// From inside the job: back to whoever called start() or resume().
    void suspend();
    [[nodiscard]] bool idle() const noexcept { return !job_; }

private:
    boost::context::fiber run(boost::context::fiber&& caller);
    void enter();
    void leave();

    FiberStacks allocator_;
    boost::context::stack_context stack_;
    boost::context::fiber fiber_;
    boost::context::fiber caller_;
    std::function<void()> job_;
    const void* caller_bottom_ = nullptr;
    std::size_t caller_size_ = 0;
    void* fake_stack_ = nullptr;  // of the address sanitizer, while we are not on the stack
};

}  // namespace longrope::tests::cuda_emulator
