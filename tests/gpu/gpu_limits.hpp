// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace longrope::tests {

/// Of AttentionRowResult::largest_error on a backend that rounds to bfloat16: the probabilities,
/// the output and its projection are each rounded to 8 bits (2^-9), queries and keys move scores of
/// about 20 by up to some 2^-9 of that in places where sums in another order round the other way.
inline constexpr double attention_row_tolerance = 0x1p-6;

}  // namespace longrope::tests
