// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace longrope::evaluator {

/// The first key that an object of a JSON text has twice: JSON leaves it to the reader which of the
/// two values counts, so that two programs may read two models from one file.
/// @param json  a valid text; of another, what is found before its mistake
[[nodiscard]] std::optional<std::string> repeated_key(std::string_view json);

}  // namespace longrope::evaluator
