// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

namespace longrope::cli {

/// What a progress bar shows.
struct ProgressFigures {
    std::uint64_t scored = 0;
    std::uint64_t left = 0;
    std::size_t workers = 0;
    std::optional<double> best_perplexity;
    std::string time_left;  ///< empty: not known yet
};

/// "[####....]  17 %  4/24 tasks on 2 workers  best 41.824  left 3 min 20 s", in `width` columns at
/// most. What does not fit is left out in the order of its worth: cells of the bar, the bar, the
/// workers, the tasks, the best perplexity, the percentage. The time left is never left out.
[[nodiscard]] std::string progress_line(const ProgressFigures& figures, std::size_t width);

/// Columns of the terminal that standard error is shown on: what the terminal says; under mpirun,
/// where standard error is a pipe, $COLUMNS or what the controlling terminal says; else 80.
[[nodiscard]] std::size_t terminal_width();

}  // namespace longrope::cli
