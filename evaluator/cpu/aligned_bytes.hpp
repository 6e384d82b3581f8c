// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace longrope::evaluator::cpu {

/// Owns zero-filled memory that starts on a cache line. Move-only.
class AlignedBytes {
public:
    static constexpr std::size_t alignment = 64;

    AlignedBytes() = default;
    explicit AlignedBytes(std::size_t bytes) : size_{(bytes + alignment) / alignment * alignment} {
        memory_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, size_)));
        if (!memory_) throw std::bad_alloc{};
        std::memset(memory_.get(), 0, size_);
    }

    [[nodiscard]] std::byte* data() const noexcept { return memory_.get(); }
    [[nodiscard]] float* floats() const noexcept { return reinterpret_cast<float*>(memory_.get()); }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    /// Gives the memory to the caller, who frees it with std::free.
    [[nodiscard]] std::byte* release() noexcept { return memory_.release(); }

private:
    struct Free {
        void operator()(std::byte* data) const noexcept { std::free(data); }
    };
    std::size_t size_ = 0;
    std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace longrope::evaluator::cpu
