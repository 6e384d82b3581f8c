// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// Writes snapshots of the history on a thread of its own, so that the event loop never waits for a
/// disk. A newer snapshot replaces one that still waits. The thread blocks all signals: they belong
/// to the event loop.
class HistoryWriter {
public:
    /// @param before_rename  see write_history; called on the writer's thread
    HistoryWriter(std::filesystem::path file, std::function<void()> before_rename);
    HistoryWriter(const HistoryWriter&) = delete;
    HistoryWriter& operator=(const HistoryWriter&) = delete;
    ~HistoryWriter();  ///< waits for a write in progress; does not write what still waits

    /// Whether a snapshot is worth making: nothing waits or is being written, and the interval
    /// since the last write has passed: 50 times its duration, at most 30 s.
    [[nodiscard]] bool due(std::chrono::steady_clock::time_point now) const;
    /// Hands over a copy; returns its sequence number (1, 2, …) without waiting.
    std::uint64_t submit(std::shared_ptr<const RunHistory> snapshot);
    /// Sequence number of the newest snapshot that is durable (the folder's fsync is done); 0:
    /// none.
    /// @throws what write_history threw (HistoryError, or before_rename's own exception) if the
    ///         last write failed; once for each failure, and until then nothing more is written
    [[nodiscard]] std::uint64_t stored() const;
    /// Waits until all that was submitted is durable.
    /// @throws what write_history threw if the last write failed, at every call
    void drain();
    /// The same, but for at most this long.
    /// @returns whether all that was submitted is durable
    [[nodiscard]] bool drain(std::chrono::milliseconds at_most);

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace longrope::coordinator
