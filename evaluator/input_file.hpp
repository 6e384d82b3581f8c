// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace longrope::evaluator {

/// The size of a regular file, in bytes. A pipe is none: to open it could wait for ever.
/// @param expected  what the file should be, for the message
/// @throws EvaluatorError "<file>: no such file, expected <expected>", or with what else it is
[[nodiscard]] std::uintmax_t size_of_input(const std::filesystem::path& file,
                                           const std::string& expected);

/// Whether there is something of this name. What cannot be found out is taken for there: it is
/// refused with the system's reason where it is read.
[[nodiscard]] bool is_there(const std::filesystem::path& file);

}  // namespace longrope::evaluator
