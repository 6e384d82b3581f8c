// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace longrope::worker {

/// Cores (logical CPUs) by number: those that a process may run on. As large as Linux numbers them;
/// plain memory that MPI can send.
class CoreSet {
public:
    static constexpr int limit = 8192;  ///< numbers stay below it

    /// Those of a process, or of this thread; none if the system does not tell.
    [[nodiscard]] static CoreSet of(pid_t process = 0);
    /// @returns whether the process, or this thread, is bound to them from now on; errno if not
    [[nodiscard]] bool bind(pid_t process = 0) const;

    void insert(int core);                         ///< numbers outside [0, limit) are left out
    [[nodiscard]] std::vector<int> cores() const;  ///< ascending
    [[nodiscard]] bool empty() const noexcept { return *this == CoreSet{}; }
    [[nodiscard]] bool meets(const CoreSet& other) const noexcept;
    [[nodiscard]] bool operator==(const CoreSet& other) const noexcept = default;

private:
    using Word = unsigned long;
    static constexpr std::size_t word_bits = 8 * sizeof(Word);
    std::array<Word, limit / word_bits> words_{};
};

/// A rank's part of the cores of its node.
struct CoreShare {
    std::vector<int> cores;  ///< its own, to be bound to; empty: it is bound as it should be, or
                             ///< there are fewer cores than ranks
    int number = 1;          ///< of cores that it may count on
};

/// Ranks that may run on the same cores share them in their order; where the launcher gave each
/// rank cores of its own, it keeps them.
/// @param node  what each rank of the node may run on
[[nodiscard]] CoreShare core_share(std::span<const CoreSet> node, std::size_t rank);

}  // namespace longrope::worker
