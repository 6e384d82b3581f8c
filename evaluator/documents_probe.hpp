// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace longrope::evaluator {

/// Reads a documents file in a child process and throws away what it says. HDF5 1.10 itself crashes
/// on some damaged files; a child that does is an error here, and this process goes on. A file that
/// Documents refuses passes: whoever reads it next is told why. Costs one more reading of the file.
/// @throws EvaluatorError probe_failure
void probe_documents(const std::filesystem::path& file);

/// Runs `work` in a child process, which may compute for so many seconds; what it throws is nothing
/// to anybody.
/// @returns the child's status of wait(2)
/// @throws EvaluatorError if there is none to be had
[[nodiscard]] int status_of_child(const std::function<void()>& work, unsigned seconds);

/// What to say of a file whose reader ended with this status of wait(2), which is not 0.
[[nodiscard]] std::string probe_failure(const std::filesystem::path& file, int status);

}  // namespace longrope::evaluator
