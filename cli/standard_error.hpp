// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <utility>

namespace longrope::cli {

/// Prints on standard error. Where that cannot be written, on a full disk or into a pipe that
/// nobody reads, nothing happens: no result is given up because a word about it is lost.
template <typename... Args>
void print_error(fmt::format_string<Args...> format, Args&&... args) {
    std::fputs(fmt::format(format, std::forward<Args>(args)...).c_str(), stderr);
}

}  // namespace longrope::cli
