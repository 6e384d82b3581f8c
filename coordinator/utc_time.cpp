// SPDX-License-Identifier: Apache-2.0
#include "coordinator/utc_time.hpp"

#include <fmt/chrono.h>

#include <chrono>
#include <ctime>

namespace longrope::coordinator {

std::int64_t utc_nanoseconds() {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

std::string iso_8601(std::int64_t utc_nanoseconds) {
    const auto seconds = static_cast<std::time_t>(utc_nanoseconds / 1'000'000'000);
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
}

}  // namespace longrope::coordinator
