// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/weight_memory.hpp"

#include <algorithm>

namespace longrope::evaluator::cpu {

WeightMemory::Piece WeightMemory::take(std::size_t bytes) {
    const std::size_t size =
        (bytes + AlignedBytes::alignment - 1) / AlignedBytes::alignment * AlignedBytes::alignment;
    auto slab = std::ranges::find_if(slabs_, [size](const std::unique_ptr<Slab>& kept) {
        return kept->memory.size() - kept->used >= size;
    });
    if (slab == slabs_.end()) {
        slabs_.push_back(std::make_unique<Slab>(Slab{.memory = AlignedBytes::not_filled(size)}));
        slab = slabs_.end() - 1;
    }
    std::byte* const data = (*slab)->memory.data() + (*slab)->used;
    (*slab)->used += size;
    (*slab)->pieces += 1;
    return Piece{data, GiveBack{slab->get()}};
}

std::uint64_t WeightMemory::bytes() const noexcept {
    std::uint64_t total = 0;
    for (const std::unique_ptr<Slab>& slab : slabs_) total += slab->memory.size();
    return total;
}

}  // namespace longrope::evaluator::cpu
