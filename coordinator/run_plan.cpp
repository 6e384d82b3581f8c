// SPDX-License-Identifier: Apache-2.0
#include "coordinator/run_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <boost/uuid/uuid.hpp>
#include <boost/uuid/uuid_generators.hpp>
#include <boost/uuid/uuid_io.hpp>
#include <iterator>
#include <map>
#include <utility>

#include "coordinator/utc_time.hpp"

namespace longrope::coordinator {
namespace {

using Identity = std::map<std::string, std::string>;

/// Whether a setting belongs to a stage that the history does not have yet: adding one is allowed.
bool of_new_stage(const std::string& key, const RunHistory& earlier, const Configuration& now) {
    return std::ranges::any_of(now.stages, [&](const StageSettings& stage) {
        const bool stored = std::ranges::find(earlier.stages, stage.name, &StageHistory::name) !=
                            earlier.stages.end();
        return !stored && key.starts_with(fmt::format("stage.{}.", stage.name));
    });
}

void compare_identity(const RunHistory& earlier, const RunHistory& now,
                      const Configuration& configuration) {
    std::string differences;
    const auto differ = [&differences](const std::string& what, const std::string& stored,
                                       const std::string& ours) {
        differences += fmt::format("\n  {}: the history has {}, this configuration {}", what,
                                   stored.empty() ? "none" : stored, ours.empty() ? "none" : ours);
    };
    Identity keys = earlier.identity;
    keys.insert(now.identity.begin(), now.identity.end());
    for (const auto& [key, ignored] : keys) {
        if (key == "stage.names" || of_new_stage(key, earlier, configuration)) continue;
        const auto stored = earlier.identity.find(key);
        const auto ours = now.identity.find(key);
        const std::string left = stored == earlier.identity.end() ? "" : stored->second;
        const std::string right = ours == now.identity.end() ? "" : ours->second;
        if (left != right) differ(key, left, right);
    }
    if (earlier.model_digest != now.model_digest) {
        differ("model digest", earlier.model_digest, now.model_digest);
    }
    if (earlier.documents_digest != now.documents_digest) {
        differ("documents digest", earlier.documents_digest, now.documents_digest);
    }
    if (differences.empty()) return;
    throw IdentityMismatch{fmt::format(
        "the run directory holds the history of another search:{}\nGo on with the settings, model "
        "and documents it was begun with, or use another --run-directory.",
        differences)};
}

}  // namespace

RunPlan::RunPlan(Configuration configuration, const RunFacts& facts,
                 std::optional<RunHistory> earlier)
    : configuration_{std::move(configuration)}, resumed_{earlier.has_value()} {
    header_.seed = configuration_.run.seed;
    header_.configuration = to_toml(configuration_);
    header_.model_digest = facts.model_digest;
    header_.documents_digest = facts.documents_digest;
    header_.identity = identity_settings(configuration_);
    if (earlier) {
        compare_identity(*earlier, header_, configuration_);
        header_.run_uuid = earlier->run_uuid;
        header_.created = earlier->created;
        header_.numerics_class = earlier->numerics_class;
        header_.starts = earlier->starts;
        header_.stored_at_start = earlier->stored_at_start;
        header_.idle_starts = earlier->idle_starts;
        header_.hosts = earlier->hosts;
        header_.state = earlier->state;
        header_.state_reason = earlier->state_reason;
        header_.workers = earlier->workers;
        header_.libraries = earlier->libraries;
    } else {
        header_.run_uuid = boost::uuids::to_string(boost::uuids::random_generator{}());
        header_.created = iso_8601(utc_nanoseconds());
    }
    for (const StageSettings& stage : configuration_.stages) {
        const StageHistory* stored = nullptr;
        if (earlier) {
            const auto found = std::ranges::find(earlier->stages, stage.name, &StageHistory::name);
            if (found != earlier->stages.end()) stored = &*found;
        }
        StageRun& run = stages_.emplace_back(plan_stage(configuration_, stage, facts), stored);
        // Scores that are there already may open the next generation, and that one the next.
        std::vector<NumberedJob> open;
        std::vector<NumberedJob> more;
        while (more = run.ready(), !more.empty()) std::ranges::move(more, std::back_inserter(open));
        open_jobs_.push_back(std::move(open));
    }
}

bool RunPlan::complete() const {
    return std::ranges::all_of(stages_, [](const StageRun& stage) { return stage.finished(); });
}

std::uint64_t RunPlan::restored() const {
    std::uint64_t scores = 0;
    for (const StageRun& stage : stages_) scores += stage.restored();
    return scores;
}

RunHistory RunPlan::snapshot() const {
    RunHistory history = header_;
    history.updated = iso_8601(utc_nanoseconds());
    for (const StageRun& stage : stages_) history.stages.push_back(stage.history());
    return history;
}

std::vector<NumberedJob> RunPlan::take_open_jobs(std::size_t stage) {
    return std::exchange(open_jobs_[stage], {});
}

}  // namespace longrope::coordinator
