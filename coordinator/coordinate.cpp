// SPDX-License-Identifier: Apache-2.0
#include "coordinator/coordinate.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <utility>

#include "coordinator/admission.hpp"
#include "coordinator/history_writer.hpp"
#include "coordinator/lock_keeper.hpp"
#include "coordinator/utc_time.hpp"

namespace longrope::coordinator {
namespace {

using Clock = std::chrono::steady_clock;
using protocol::WorkerId;

constexpr std::chrono::milliseconds poll_wait{20};
constexpr std::chrono::milliseconds progress_interval{200};
constexpr std::chrono::milliseconds disk_wait{20};

/// But for the model, which is a stage's.
Requirements requirements_of(RunPlan& plan) {
    Requirements required;
    required.documents_digest = plan.header().documents_digest;
    required.build = plan.header().program_commit;
    required.numerics_class = plan.header().numerics_class;
    required.allow_mixed_numerics = plan.configuration().run.allow_mixed_numerics;
    return required;
}

/// The event loop: events in, jobs and tasks out, snapshots aside.
class Coordination {
public:
    Coordination(RunPlan& plan, protocol::Transport& transport,
                 const std::filesystem::path& history_file, const RunLock& lock, Watcher& watcher,
                 const std::function<std::optional<std::string>()>& stop_reason,
                 std::optional<Clock::time_point> stop_by, std::span<const protocol::Setup> setups)
        : plan_{plan},
          run_{plan.configuration().run},
          transport_{transport},
          watcher_{watcher},
          stop_reason_{stop_reason},
          stop_by_{stop_by},
          setups_{setups},
          setup_of_{plan.next_stage()},
          admission_{requirements_of(plan), transport.workers()},
          roster_{plan.header(), transport.workers()},
          dispatcher_{{run_.max_faults,
                       Dispatcher::Seconds{plan.configuration().evaluator.deadline_floor_seconds}}},
          keeper_{lock},
          writer_{history_file, [&lock] { lock.check(); }} {
        RunHistory& header = plan_.header();
        for (const WorkerId worker : roster_.present()) dispatcher_.expect_worker(worker);
        // What the start before this one stored is known only now: it may have been killed.
        const bool idle = header.starts > 0 && plan_.restored() <= header.stored_at_start;
        header.idle_starts = idle ? header.idle_starts + 1 : 0;
        ++header.starts;
        header.stored_at_start = plan_.restored();
        header.state = RunState::running;
        header.state_reason = "the search is running";
    }

    Ending run() {
        store();  // a run directory that cannot be written ends the run before it costs anything
        wait_until_stored();
        for (std::size_t i = plan_.next_stage(); !plan_.complete(); i = plan_.next_stage()) {
            if (const auto missing = plan_.missing_model()) {
                plan_.header().state_reason = waiting_reason(*missing);
                return finish(RunState::waiting, Ending::waiting);
            }
            if (plan_.configuration().stages.size() > 1) {
                watcher_.log(fmt::format("stage \"{}\"", plan_.configuration().stages[i].name));
            }
            set_up(i);
            if (!run_stage(i)) return finish(RunState::stopped_early, Ending::stopped_early);
            plan_.begin_stages();
        }
        plan_.header().state_reason = all_complete;
        return finish(RunState::complete, Ending::complete);
    }

    /// Stores what there is after an error; the error itself is reported by whoever caught it.
    void fail(const std::string& reason) {
        const bool over = plan_.complete();  // then only the telling failed
        plan_.header().state = over ? RunState::complete : RunState::failed;
        plan_.header().state_reason = over ? all_complete : reason;
        try {
            store();
            writer_.drain();
        } catch (const std::exception& error) {
            watcher_.log(fmt::format("the last snapshot could not be written: {}", error.what()));
        }
    }

private:
    /// Has the workers load what the stage is scored with, unless they have it. They keep their
    /// faults and losses: who is gone stays so.
    void set_up(std::size_t stage) {
        admission_.require_model(plan_.stages().at(stage).plan().model_digest);
        if (setups_.empty() || setups_[stage] == setups_[setup_of_]) return;
        setup_of_ = stage;
        admission_.on_restart();
        protocol::Setup setup = setups_[stage];
        setup.number = ++setup_number_;
        for (const WorkerId worker : roster_.present()) {
            roster_.on_start(worker);
            dispatcher_.remove_worker(worker);
            dispatcher_.expect_worker(worker);
        }
        watcher_.log(fmt::format("the workers load the model of this stage{}{}",
                                 setup.model_path.empty() ? "" : ", ", setup.model_path));
        transport_.set_up(setup);
    }

    /// @returns false if it was stopped early
    bool run_stage(std::size_t index) {
        StageRun& stage = plan_.stages()[index];
        stage_begin_ = Clock::now();
        computed_ = 0;
        generations_seen_ = stage.history().generations.size();
        end_announced_ = !stage.history().ended_by.empty();
        for (const ScoredLength& length : stage.plan().lengths) {
            if (const auto seconds = stage.expected_task_seconds(length.tokens)) {
                dispatcher_.expect_duration(length.tokens, Dispatcher::Seconds{*seconds});
            }
        }
        submit(plan_.take_open_jobs(index));
        while (!stage.finished()) {
            // Who speaks is judged before what it computed is heard.
            for (auto& event : transport_.poll(poll_wait)) {
                handle(stage, event);
                judge();
            }
            judge();
            submit(stage.ready());
            announce_generations(stage);
            if (stage.finished()) break;  // neither a stop nor a loss matters to it any more
            roster_.require_workers();
            if (auto reason = stop_reason_()) return stopped(*reason);
            const auto left = time_left();
            if (left && left->count() <= 0) return stopped("the time limit is reached");
            assign(stage, left);
            if (left && dispatcher_.running() == 0 && dispatcher_.can_assign()) {
                return stopped("no further task fits into the time limit");
            }
            keep_house(stage);
        }
        announce_generations(stage);
        return true;
    }

    bool stopped(std::string reason) {
        plan_.header().state_reason = std::move(reason);
        return false;
    }

    Ending finish(RunState state, Ending ending) {
        plan_.header().state = state;
        store();
        wait_until_stored();
        announce_stored();
        while (!keeper_.end(disk_wait)) transport_.ping();
        return ending;
    }

    /// As long as the disk takes, the workers hear that the coordinator lives.
    void wait_until_stored() {
        while (!writer_.drain(disk_wait)) {
            transport_.ping();
            keeper_.check();
        }
    }

    void submit(std::vector<NumberedJob> jobs) {
        for (NumberedJob& job : jobs) dispatcher_.submit(job.id, std::move(job.job));
    }

    void assign(StageRun& stage, std::optional<Dispatcher::Seconds> left) {
        for (const Assignment& assignment : dispatcher_.assign(left)) {
            stage.on_started(assignment.job, utc_nanoseconds());
            roster_.on_task(assignment.worker);
            transport_.send(assignment.worker, assignment.task);
        }
    }

    std::optional<Dispatcher::Seconds> time_left() const {
        std::optional<Dispatcher::Seconds> left;
        if (stop_by_) left = *stop_by_ - Clock::now();
        return left;
    }

    void handle(StageRun& stage, protocol::WorkerEvent& event) {
        const WorkerId worker = event.worker;
        if (roster_.is_gone(worker)) return;  // its tasks are others' now
        if (auto* hello = std::get_if<protocol::Hello>(&event.what)) {
            if (hello->setup != setup_number_) return;
            admission_.hear(worker, std::move(*hello), Clock::now());
        } else if (auto* result = std::get_if<protocol::Result>(&event.what)) {
            if (dispatcher_.doubt(worker, *result)) {
                on_fault(stage, worker,
                         {result->id, result->attempt, false, false,
                          "its loss is not finite, which another worker is to confirm"});
                return;
            }
            roster_.on_result(worker, result->seconds);
            if (const auto score = dispatcher_.on_result(worker, *result)) {
                stage.on_score(*score, utc_nanoseconds(),
                               roster_.numerics_class(worker) != plan_.header().numerics_class);
                ++computed_;
                changed_ = true;
            }
        } else if (auto* fault = std::get_if<protocol::Fault>(&event.what)) {
            on_fault(stage, worker, *fault);
        } else if (auto* lost = std::get_if<protocol::Lost>(&event.what)) {
            watcher_.log(fmt::format("worker {} is lost: {}", worker, lost->reason));
            lose(worker, lost->reason);
        }
    }

    void judge() {
        for (const Judgement& judgement : admission_.judge(Clock::now())) settle(judgement);
    }

    void settle(const Judgement& judgement) {
        for (const std::string& line : roster_.introduce(judgement)) watcher_.log(line);
        changed_ = true;
        if (judgement.refusal) {
            roster_.refuse(judgement.worker, *judgement.refusal);
            dismiss(judgement.worker);
            return;
        }
        plan_.header().numerics_class = admission_.numerics_class();
        dispatcher_.add_worker(judgement.worker);
    }

    void on_fault(StageRun& stage, WorkerId worker, const protocol::Fault& fault) {
        // What an evaluator that has been replaced died of concerns nobody.
        if (fault.at_start && fault.setup != setup_number_) return;
        roster_.on_fault(worker);
        changed_ = true;
        if (fault.at_start) {
            watcher_.log(fmt::format("worker {}: {}", worker, fault.reason));
            roster_.on_start(worker);
            admission_.on_failed_start(worker);
            if (fault.given_up) lose(worker, fault.reason);
            return;
        }
        const auto verdict = dispatcher_.on_fault(worker, fault);
        if (!verdict) return;
        stage.on_fault(*verdict, worker, utc_nanoseconds());
        watcher_.log(fmt::format("worker {}: attempt {} at {} failed{}: {}", worker,
                                 verdict->attempt, stage.task_name(verdict->job, verdict->column),
                                 verdict->final ? " for good" : "", fault.reason));
        if (!verdict->worker_is_sick) return;
        const std::string reason =
            fmt::format("{} candidates in a row failed on it, the last one thus: {}",
                        Dispatcher::sick_after, fault.reason);
        watcher_.log(fmt::format("worker {} is lost: {}", worker, reason));
        lose(worker, reason);
    }

    void lose(WorkerId worker, const std::string& reason) {
        roster_.lose(worker, reason);
        dismiss(worker);
    }

    /// The search goes on without it.
    void dismiss(WorkerId worker) {
        admission_.release(worker);
        dispatcher_.remove_worker(worker);
        transport_.retire(worker);
        changed_ = true;
    }

    void announce_generations(const StageRun& stage) {
        const auto& generations = stage.history().generations;
        for (; generations_seen_ < generations.size(); ++generations_seen_) {
            watcher_.generation(stage, generations[generations_seen_]);
        }
        const StageHistory& history = stage.history();
        if (history.ended_by.empty() || std::exchange(end_announced_, true)) return;
        if (history.ended_by == "iterations") return;
        watcher_.log(
            fmt::format("stage \"{}\": the evolution ends after {} iterations, by stage.{}",
                        history.name, stage.plan().settings.iterations, history.ended_by));
    }

    void keep_house(const StageRun& stage) {
        const Clock::time_point now = Clock::now();
        if (changed_ && (writer_.due(now) || seconds_since(stored_at_) >= run_.snapshot_seconds)) {
            store();
        }
        announce_stored();
        keeper_.check();
        if (now - progress_at_ >= progress_interval) {
            progress_at_ = now;
            watcher_.progress(
                {stage, seconds_since(stage_begin_), computed_, dispatcher_.workers()});
        }
    }

    void store() {
        const std::uint64_t number =
            writer_.submit(std::make_shared<const RunHistory>(plan_.snapshot()));
        std::uint64_t scores = 0;
        for (const StageRun& stage : plan_.stages()) scores += stage.scored();
        submitted_.emplace_back(number, scores);
        stored_at_ = Clock::now();
        changed_ = false;
    }

    void announce_stored() {
        const std::uint64_t durable = writer_.stored();
        std::optional<std::uint64_t> scores;  // of the newest; those before it may never have been
        for (; !submitted_.empty() && submitted_.front().first <= durable; submitted_.pop_front()) {
            scores = submitted_.front().second;
        }
        if (scores) watcher_.stored(*scores);
    }

    static double seconds_since(Clock::time_point then) {
        return std::chrono::duration<double>(Clock::now() - then).count();
    }

    RunPlan& plan_;
    const RunSettings& run_;
    protocol::Transport& transport_;
    Watcher& watcher_;
    const std::function<std::optional<std::string>()>& stop_reason_;
    std::optional<Clock::time_point> stop_by_;
    std::span<const protocol::Setup> setups_;
    std::size_t setup_of_;            // the stage whose setup the workers have
    std::uint32_t setup_number_ = 0;  // of that setup
    Admission admission_;
    WorkerRoster roster_;
    Dispatcher dispatcher_;
    LockKeeper keeper_;
    HistoryWriter writer_;
    std::deque<std::pair<std::uint64_t, std::uint64_t>> submitted_;  // snapshot, scores it holds
    Clock::time_point stage_begin_ = Clock::now();
    Clock::time_point stored_at_ = stage_begin_;
    Clock::time_point progress_at_ = stage_begin_;
    std::uint64_t computed_ = 0;
    std::size_t generations_seen_ = 0;
    bool end_announced_ = false;  // that of the stage's evolution
    bool changed_ = false;
};

}  // namespace

Ending coordinate(RunPlan& plan, protocol::Transport& transport,
                  const std::filesystem::path& history_file, const RunLock& lock, Watcher& watcher,
                  const std::function<std::optional<std::string>()>& stop_reason,
                  std::optional<std::chrono::steady_clock::time_point> stop_by,
                  std::span<const protocol::Setup> setups) {
    Coordination coordination{plan,    transport,   history_file, lock,
                              watcher, stop_reason, stop_by,      setups};
    try {
        return coordination.run();
    } catch (const LockLost&) {
        throw;  // the file belongs to another coordinator now
    } catch (const HistoryError& error) {
        // Unless it was the writing that failed, what was computed is stored all the same.
        if (dynamic_cast<const ReplayMismatch*>(&error) == nullptr &&
            dynamic_cast<const NumericsMismatch*>(&error) == nullptr) {
            throw;
        }
        coordination.fail(error.what());
        throw;
    } catch (const std::exception& error) {
        coordination.fail(error.what());
        throw;
    }
}

}  // namespace longrope::coordinator
