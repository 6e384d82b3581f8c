// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace longrope::cli {

/// Rounds of equal tasks: a batch of n keeps w workers busy for ceil(n / w) of them, and the next
/// one waits for it.
/// @param batches  tasks, in order
/// @param workers  at least 1
[[nodiscard]] std::uint64_t count_rounds(std::span<const std::uint64_t> batches,
                                         std::uint64_t workers);

/// The batches of which `tasks_left` are left: the last ones, since each waits for those before it,
/// the first of them in part. Tasks beyond the sum of all go with the first.
/// @param batches  of the whole stage: tasks, in order
[[nodiscard]] std::vector<std::uint64_t> batches_left(std::span<const std::uint64_t> batches,
                                                      std::uint64_t tasks_left);

}  // namespace longrope::cli
