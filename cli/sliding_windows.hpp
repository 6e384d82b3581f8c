// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace longrope::cli {

/// A stretch of a document that is fed at once, and how much of its end counts.
struct TextWindow {
    std::uint64_t offset = 0;     ///< tokens of the document before it
    std::uint64_t positions = 0;  ///< that are fed, BOS included
    std::uint64_t scored = 0;     ///< of the last positions; what stands before is context
    friend bool operator==(const TextWindow&, const TextWindow&) = default;
};

/// How a document is read: it has `tokens`, of which `window` positions are fed at once, `stride`
/// tokens further each time.
struct SlidingWindow {
    std::uint64_t tokens = 0;
    bool begin_with_bos = false;  ///< every window begins with a BOS of its own
    std::uint64_t window = 0;     ///< positions, BOS included; at least 2
    std::uint64_t stride = 0;     ///< tokens; at least 1
};

/// The windows that score a document: each token once, in the first window that holds it. The last
/// window ends with the document and may be shorter. Without a BOS the first token of a window that
/// no earlier one reaches is not scored; a stride beyond the window leaves out what lies between.
/// @returns  empty for a document without a token to score
/// Source: LongRoPE (arXiv:2402.13753), section 4.1, stride 256.
[[nodiscard]] std::vector<TextWindow> sliding_windows(const SlidingWindow& reading);

}  // namespace longrope::cli
