// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "evaluator/cpu/aligned_bytes.hpp"

namespace longrope::evaluator::cpu {

/// Memory of packed weights, kept when they are dropped: the next layer is packed where the last
/// one was. From the system it would come page by page, each cleared. For one thread at a time.
class WeightMemory {
    struct Slab {
        AlignedBytes memory;
        std::size_t used = 0;
        std::uint32_t pieces = 0;
    };
    struct GiveBack {
        Slab* slab = nullptr;
        void operator()(std::byte*) const noexcept {
            if (--slab->pieces == 0) slab->used = 0;
        }
    };

public:
    /// Aligned as AlignedBytes are. Must be gone before the WeightMemory.
    using Piece = std::unique_ptr<std::byte, GiveBack>;

    /// The first room of that size among what is kept, or new memory.
    /// @throws std::bad_alloc
    [[nodiscard]] Piece take(std::size_t bytes);

    /// What has come from the system.
    [[nodiscard]] std::uint64_t bytes() const noexcept;

private:
    std::vector<std::unique_ptr<Slab>> slabs_;
};

}  // namespace longrope::evaluator::cpu
