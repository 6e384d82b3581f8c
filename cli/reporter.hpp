// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>

#include "coordinator/coordinate.hpp"

namespace longrope::cli {

/// How a search shows that it moves.
enum class ProgressStyle { bar, lines };

/// "auto" (a bar if standard error is a terminal), "bar" or "lines".
/// @throws UsageError
[[nodiscard]] ProgressStyle progress_style(const std::string& text);

/// Writes what happens to standard error and to the run's log.txt: one line per generation, and on
/// a terminal a progress bar with the time left.
class Reporter final : public coordinator::Watcher {
public:
    /// @throws std::system_error if the log cannot be opened
    Reporter(ProgressStyle style, const std::filesystem::path& log_file);
    ~Reporter() override;

    void log(const std::string& line) override;
    void generation(const coordinator::StageRun& stage,
                    const coordinator::GenerationRow& row) override;
    void progress(const coordinator::Progress& progress) override;
    void stored(std::uint64_t document_scores) override { stored_ = document_scores; }
    [[nodiscard]] std::uint64_t stored_scores() const noexcept { return stored_; }

private:
    struct Close {
        void operator()(std::FILE* file) const noexcept { std::fclose(file); }
    };
    void clear_bar();

    ProgressStyle style_;
    std::unique_ptr<std::FILE, Close> log_;
    std::string bar_;  ///< what stands on the terminal's last line
    std::string time_left_;
    std::uint64_t stored_ = 0;
};

/// "1 h 05 min", "3 min 20 s" or "12 s".
[[nodiscard]] std::string spell_duration(double seconds);

}  // namespace longrope::cli
