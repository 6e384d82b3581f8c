// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "coordinator/coordinate.hpp"
#include "coordinator/history_file.hpp"
#include "tests/coordinator/scripted_transport.hpp"
#include "tests/coordinator/small_run.hpp"
#include "tests/evaluator/temporary_folder.hpp"

namespace longrope::coordinator {

/// Writes down what a coordinator tells.
class RecordingWatcher final : public Watcher {
public:
    void log(const std::string& line) override { lines += line + "\n"; }
    void generation(const StageRun&, const GenerationRow& row) override {
        generations.push_back(row.generation);
    }
    void progress(const Progress&) override {}
    void stored(std::uint64_t document_scores) override {
        stored_scores.push_back(document_scores);
        at_stored(document_scores);
    }

    std::function<void(std::uint64_t)> at_stored = [](std::uint64_t) {};

    std::string lines;
    std::vector<std::uint32_t> generations;
    std::vector<std::uint64_t> stored_scores;
};

/// A run directory, and coordinators that follow each other in it.
class CoordinatedRun {
public:
    explicit CoordinatedRun(Configuration settings = small_configuration(),
                            RunFacts known = small_facts(), std::vector<protocol::Setup> loads = {})
        : configuration{std::move(settings)}, facts{std::move(known)}, setups{std::move(loads)} {}

    /// Starts as the program does: lock, history, plan, event loop.
    Ending start(ScriptedTransport& transport) {
        const RunLock lock{directory(), this_process()};
        plan = std::make_unique<RunPlan>(configuration, facts, read_history(file()));
        watcher = std::make_unique<RecordingWatcher>();
        watcher->at_stored = at_stored;
        return coordinate(*plan, transport, file(), lock, *watcher, stop_reason, stop_by, setups);
    }
    Ending start(int workers, std::optional<std::uint64_t> shuffle_seed = std::nullopt) {
        ScriptedTransport transport{workers, shuffle_seed};
        return start(transport);
    }

    [[nodiscard]] std::filesystem::path directory() const { return folder_.path() / "run"; }
    [[nodiscard]] std::filesystem::path file() const { return directory() / "search.h5"; }
    [[nodiscard]] RunHistory stored() const { return read_history(file()).value(); }
    [[nodiscard]] std::string found() const { return found_digest(stored().stages); }

    Configuration configuration;
    RunFacts facts;
    std::vector<protocol::Setup> setups;  ///< of each stage; empty: one serves all
    std::function<std::optional<std::string>()> stop_reason = [] { return std::nullopt; };
    std::optional<std::chrono::steady_clock::time_point> stop_by;  ///< the end of a job
    std::function<void(std::uint64_t)> at_stored = [](std::uint64_t) {};
    std::unique_ptr<RunPlan> plan;              ///< of the last start
    std::unique_ptr<RecordingWatcher> watcher;  ///< of the last start

private:
    tests::TemporaryFolder folder_;
};

}  // namespace longrope::coordinator
