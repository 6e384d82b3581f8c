// SPDX-License-Identifier: Apache-2.0
#include "cli/sliding_windows.hpp"

#include <algorithm>

namespace longrope::cli {

std::vector<TextWindow> sliding_windows(const SlidingWindow& reading) {
    const std::uint64_t bos = reading.begin_with_bos ? 1 : 0;
    const std::uint64_t capacity = reading.window - bos;
    std::vector<TextWindow> windows;
    std::uint64_t scored_up_to = 0;
    for (std::uint64_t begin = 0; begin < reading.tokens; begin += reading.stride) {
        const std::uint64_t end = std::min(begin + capacity, reading.tokens);
        const std::uint64_t positions = end - begin + bos;
        const std::uint64_t fresh = end - std::max(scored_up_to, begin);
        // The first position has nothing before it.
        const std::uint64_t scored = std::min(fresh, positions - 1);
        if (scored > 0) windows.push_back({begin, positions, scored});
        scored_up_to = end;
        if (end == reading.tokens) break;
    }
    return windows;
}

}  // namespace longrope::cli
