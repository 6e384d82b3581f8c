// SPDX-License-Identifier: Apache-2.0
#include "tests/cuda_emulator/fiber.hpp"

#include <cassert>
#include <utility>

#if defined(LONGROPE_ADDRESS_SANITIZER)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace longrope::tests::cuda_emulator {
namespace {

constexpr std::size_t stack_bytes = std::size_t{128} << 10U;  // sanitizers make frames large

void start_switch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* bottom,
                  [[maybe_unused]] std::size_t size) {
#if defined(LONGROPE_ADDRESS_SANITIZER)
    __sanitizer_start_switch_fiber(fake_stack, bottom, size);
#endif
}

void finish_switch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** bottom,
                   [[maybe_unused]] std::size_t* size) {
#if defined(LONGROPE_ADDRESS_SANITIZER)
    __sanitizer_finish_switch_fiber(fake_stack, bottom, size);
#endif
}

}  // namespace

void FiberStacks::deallocate(boost::context::stack_context& stack) noexcept {
#if defined(LONGROPE_ADDRESS_SANITIZER)
    __asan_unpoison_memory_region(static_cast<const char*>(stack.sp) - stack.size, stack.size);
#endif
    pages_.deallocate(stack);
}

Fiber::Fiber() : allocator_{stack_bytes}, stack_{allocator_.allocate()} {
    fiber_ = boost::context::fiber{
        std::allocator_arg, boost::context::preallocated{stack_.sp, stack_.size, stack_},
        allocator_, [this](boost::context::fiber&& caller) { return run(std::move(caller)); }};
}

Fiber::~Fiber() {
    assert(idle());
    resume();  // without a job the loop in run() ends, and the stack is given back
}

void Fiber::start(std::function<void()> job) {
    assert(idle() && job);
    job_ = std::move(job);
    resume();
}

void Fiber::resume() {
    void* fake_stack = nullptr;
    start_switch(&fake_stack, static_cast<const char*>(stack_.sp) - stack_.size, stack_.size);
    fiber_ = std::move(fiber_).resume();
    finish_switch(fake_stack, nullptr, nullptr);
}

void Fiber::suspend() {
    leave();
    caller_ = std::move(caller_).resume();
    enter();
}

void Fiber::enter() {
    finish_switch(std::exchange(fake_stack_, nullptr), &caller_bottom_, &caller_size_);
}

void Fiber::leave() {
    start_switch(&fake_stack_, caller_bottom_, caller_size_);
}

boost::context::fiber Fiber::run(boost::context::fiber&& caller) {
    enter();
    caller_ = std::move(caller);
    while (job_) {
        job_();
        job_ = nullptr;
        suspend();
    }
    start_switch(nullptr, caller_bottom_, caller_size_);  // the stack's frames are gone for good
    return std::move(caller_);
}

}  // namespace longrope::tests::cuda_emulator
