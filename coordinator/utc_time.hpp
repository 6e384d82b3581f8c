// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace longrope::coordinator {

/// Nanoseconds since 1970-01-01 UTC.
[[nodiscard]] std::int64_t utc_nanoseconds();

/// "2026-01-31T23:59:59Z".
[[nodiscard]] std::string iso_8601(std::int64_t utc_nanoseconds);

}  // namespace longrope::coordinator
