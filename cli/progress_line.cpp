// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_line.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <vector>

#include "cli/arguments.hpp"
#include "worker/child_process.hpp"

namespace longrope::cli {
namespace {

constexpr std::size_t most_cells = 24;
constexpr std::size_t fewest_cells = 6;
constexpr std::size_t usual_width = 80;

std::string bar_text(double share, std::size_t cells) {
    const auto filled = static_cast<std::size_t>(share * static_cast<double>(cells));
    return fmt::format("[{:#<{}}{:.<{}}]", "", filled, "", cells - filled);
}

/// Columns of the terminal behind a descriptor; 0 if it is none, or one that does not say.
std::size_t columns_of(int descriptor) {
    winsize size{};
    return ::ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/// $COLUMNS; 0 if it is no number.
std::size_t columns_of_environment() {
    const char* text = std::getenv("COLUMNS");
    if (text == nullptr) return 0;
    return spelled_number<std::size_t>(text).value_or(0);
}

std::size_t columns_of_controlling_terminal() {
    const worker::Descriptor terminal{::open("/dev/tty", O_RDONLY | O_NOCTTY | O_CLOEXEC)};
    return terminal.get() < 0 ? 0 : columns_of(terminal.get());
}

}  // namespace

std::string progress_line(const ProgressFigures& figures, std::size_t width) {
    const std::uint64_t total = figures.scored + figures.left;
    const double share =
        total == 0 ? 1.0 : static_cast<double>(figures.scored) / static_cast<double>(total);
    const std::string percent = fmt::format("{:3.0f} %", 100.0 * share);
    std::string tasks = fmt::format("  {}/{} tasks", figures.scored, total);
    std::string workers =
        fmt::format(" on {} worker{}", figures.workers, figures.workers == 1 ? "" : "s");
    std::string best;
    if (figures.best_perplexity) best = fmt::format("  best {:.3f}", *figures.best_perplexity);
    const std::string left =
        figures.time_left.empty() ? "" : fmt::format("  left {}", figures.time_left);

    const auto text = [&] { return percent + tasks + workers + best + left; };
    const std::size_t beside = text().size() + 4;  // the bar's brackets, and two spaces after it
    if (beside + fewest_cells <= width) {
        return bar_text(share, std::min(most_cells, width - beside)) + "  " + text();
    }
    for (std::string* part : {&workers, &tasks, &best}) {
        if (text().size() <= width) break;
        part->clear();
    }
    std::string line = text();
    if (line.size() > width && !left.empty()) line = left.substr(2);
    return line.substr(0, width);
}

std::size_t terminal_width() {
    if (const std::size_t columns = columns_of(STDERR_FILENO); columns > 0) return columns;
    if (const std::size_t columns = columns_of_environment(); columns > 0) return columns;
    if (const std::size_t columns = columns_of_controlling_terminal(); columns > 0) return columns;
    return usual_width;
}

}  // namespace longrope::cli
