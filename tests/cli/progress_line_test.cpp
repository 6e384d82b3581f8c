// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_line.hpp"

#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

using namespace longrope::cli;

namespace {

const ProgressFigures half_way{600, 744, 2, 41.8241, "1 h 05 min"};

}  // namespace

TEST_CASE("a progress line gives up cells, bar, workers, tasks and best, in this order") {
    const std::vector<std::pair<std::size_t, std::string>> cases{
        {100,
         "[##########..............]   45 %  600/1344 tasks on 2 workers  best 41.824  left 1 h 05 "
         "min"},
        {79, "[####.......]   45 %  600/1344 tasks on 2 workers  best 41.824  left 1 h 05 min"},
        {69, " 45 %  600/1344 tasks on 2 workers  best 41.824  left 1 h 05 min"},
        {60, " 45 %  600/1344 tasks  best 41.824  left 1 h 05 min"},
        {40, " 45 %  best 41.824  left 1 h 05 min"},
        {30, " 45 %  left 1 h 05 min"},
        {16, "left 1 h 05 min"},
    };
    for (const auto& [width, text] : cases) CHECK(progress_line(half_way, width) == text);
}

TEST_CASE("at every width a progress line fits, and shows the time left where that fits") {
    for (std::size_t width = 0; width <= 140; ++width) {
        INFO("width ", width);
        const std::string line = progress_line(half_way, width);
        CHECK(line.size() <= width);
        if (width >= 15) CHECK(line.ends_with("left 1 h 05 min"));
    }
}

TEST_CASE("a progress line without figures yet is a bar alone") {
    CHECK(progress_line({0, 24, 1, std::nullopt, ""}, 79) ==
          "[........................]    0 %  0/24 tasks on 1 worker");
    CHECK(progress_line({0, 0, 1, std::nullopt, ""}, 79) ==
          "[########################]  100 %  0/0 tasks on 1 worker");
}

TEST_CASE("where standard error is no terminal, COLUMNS gives the width") {
    // Tests may be started on a terminal, which goes before COLUMNS.
    if (isatty(2) != 0) return;
    const char* before = getenv("COLUMNS");
    const std::optional<std::string> kept =
        before ? std::optional{std::string{before}} : std::nullopt;
    setenv("COLUMNS", "137", 1);
    CHECK(terminal_width() == 137);
    for (const char* senseless : {"0", "", "wide", "-5", "12x"}) {
        setenv("COLUMNS", senseless, 1);
        CHECK(terminal_width() >= 1);
        CHECK(terminal_width() != 12);
    }
    kept ? setenv("COLUMNS", kept->c_str(), 1) : unsetenv("COLUMNS");
}
