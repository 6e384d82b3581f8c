// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace longrope::cli {

/// `text` as one word of a shell's command line, quoted where it has to be.
[[nodiscard]] std::string shell_word(const std::string& text);

}  // namespace longrope::cli
