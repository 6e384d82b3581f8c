// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "cli/log_file.hpp"
#include "coordinator/coordinate.hpp"

namespace longrope::cli {

/// How a search shows that it moves.
enum class ProgressStyle { bar, lines };

/// "auto" (a bar if standard error is a terminal), "bar" or "lines".
/// @throws UsageError
[[nodiscard]] ProgressStyle progress_style(const std::string& text);

/// Writes what happens to standard error and to the run's log.txt: one line per generation, and on
/// a terminal a progress bar with the time left. The log alone tells how many document scores are
/// stored, whenever that has changed and `stored_interval` has passed.
/// All that writes throws LogError if an earlier line could not be written.
class Reporter final : public coordinator::Watcher {
public:
    Reporter(ProgressStyle style, std::filesystem::path log_file,
             std::chrono::duration<double> stored_interval);
    Reporter(const Reporter&) = delete;
    Reporter& operator=(const Reporter&) = delete;
    ~Reporter() override;

    void log(const std::string& line) override;
    void generation(const coordinator::StageRun& stage,
                    const coordinator::GenerationRow& row) override;
    void progress(const coordinator::Progress& progress) override;
    void stored(std::uint64_t document_scores) override;
    /// Logs the last line, and waits until all is written.
    void conclude(const std::string& line);
    [[nodiscard]] std::uint64_t stored_scores() const noexcept { return stored_; }

private:
    void clear_bar();

    ProgressStyle style_;
    LogFile log_;
    std::chrono::duration<double> stored_interval_;
    std::optional<std::chrono::steady_clock::time_point> told_at_;  ///< how much is stored
    std::string bar_;  ///< what stands on the terminal's last line
    std::string time_left_;
    std::uint64_t stored_ = 0;
};

/// "1 h 05 min", "3 min 20 s" or "12 s".
[[nodiscard]] std::string spell_duration(double seconds);

}  // namespace longrope::cli
