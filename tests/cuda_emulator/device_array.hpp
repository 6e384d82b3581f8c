// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/mman.h>

#include <cstdint>
#include <new>
#include <span>
#include <vector>

#include "evaluator/cuda/device_runtime.hpp"
#include "tests/cuda_emulator/emulator.hpp"

namespace longrope::tests::cuda_emulator {

/// An array in the emulator's device memory.
template <class Element>
class DeviceArray {
public:
    DeviceArray(Emulator& emulator, std::size_t count)
        : emulator_{emulator}, memory_{emulator, count * sizeof(Element), "a test's array"} {}
    DeviceArray(Emulator& emulator, const std::vector<Element>& values)
        : DeviceArray{emulator, values.size()} {
        emulator.copy_to_device(memory_.data(), std::as_bytes(std::span{values}).data(),
                                memory_.bytes(), emulator.compute_stream());
    }

    [[nodiscard]] Element* data() const { return memory_.template as<Element>(); }
    /// After all that was queued.
    [[nodiscard]] std::vector<Element> download() const {
        std::vector<Element> values(memory_.bytes() / sizeof(Element));
        emulator_.copy_to_host(std::as_writable_bytes(std::span{values}).data(), memory_.data(),
                               memory_.bytes(), emulator_.compute_stream());
        emulator_.synchronize(emulator_.compute_stream());
        return values;
    }

private:
    Emulator& emulator_;
    evaluator::cuda::DeviceAllocation memory_;
};

/// Gigabytes of zeros of which only the pages that are written exist. As much address space lies
/// before and after it: what wraps around in 32 bits comes down in it.
template <class Element>
class SparseArray {
public:
    explicit SparseArray(std::int64_t count)
        : bytes_{static_cast<std::size_t>(count) * sizeof(Element) + 2 * margin},
          memory_{::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)} {
        if (memory_ == MAP_FAILED) throw std::bad_alloc{};
    }
    SparseArray(const SparseArray&) = delete;
    SparseArray& operator=(const SparseArray&) = delete;
    ~SparseArray() { ::munmap(memory_, bytes_); }

    [[nodiscard]] Element* data() const {
        return reinterpret_cast<Element*>(static_cast<std::byte*>(memory_) + margin);
    }

private:
    static constexpr std::size_t margin = sizeof(Element) << 31U;

    std::size_t bytes_;
    void* memory_;
};

}  // namespace longrope::tests::cuda_emulator
