// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// How large a made-up history is.
struct SampleSize {
    std::uint32_t individuals = 10;
    std::uint32_t dimensions = 6;
    std::uint32_t documents = 3;
};

/// A history with something in every part of the format: two stages (the second has not begun), all
/// values of all enumerations, NaN and infinity, empty and non-ASCII texts. Equal sizes give equal
/// histories.
[[nodiscard]] RunHistory sample_history(SampleSize size = {});

}  // namespace longrope::coordinator
