// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>

namespace longrope::evaluator::cpu {

/// Owns memory that starts on a cache line, zero-filled unless it is said otherwise. Move-only.
class AlignedBytes {
public:
    static constexpr std::size_t alignment = 64;

    AlignedBytes() = default;
    explicit AlignedBytes(std::size_t bytes) : AlignedBytes{not_filled(bytes)} {
        std::memset(memory_.get(), 0, size_);
    }
    /// For what is written before it is read, by threads that should be the first to touch it.
    [[nodiscard]] static AlignedBytes not_filled(std::size_t bytes) {
        AlignedBytes result;
        result.size_ = (bytes + alignment) / alignment * alignment;
        result.memory_.reset(static_cast<std::byte*>(std::aligned_alloc(alignment, result.size_)));
        if (!result.memory_) throw std::bad_alloc{};
        return result;
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
