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

#include "coordinator/score_table.hpp"
#include "coordinator/utc_time.hpp"

namespace longrope::coordinator {
namespace {

using Identity = std::map<std::string, std::string>;

/// The stage of a setting "stage.<name>.<key>": a name may have dots, names of settings have none.
std::string stage_of(const std::string& key) {
    constexpr std::size_t prefix = std::string_view{"stage."}.size();
    if (!key.starts_with("stage.") || key.rfind('.') < prefix) return "";
    return key.substr(prefix, key.rfind('.') - prefix);
}

/// Whether a setting belongs to a stage that has not begun in the history: it may still be added,
/// changed or taken away.
bool of_unbegun_stage(const std::string& key, const RunHistory& earlier) {
    return key.starts_with("stage.") &&
           std::ranges::none_of(earlier.stages, [&key](const StageHistory& stage) {
               return stage_of(key) == stage.name;
           });
}

void compare_identity(const RunHistory& earlier, const RunHistory& now, const RunFacts& facts) {
    std::string differences;
    const auto differ = [&differences](const std::string& what, const std::string& stored,
                                       const std::string& ours) {
        differences += fmt::format("\n  {}: the history has {}, this configuration {}", what,
                                   stored.empty() ? "none" : stored, ours.empty() ? "none" : ours);
    };
    Identity keys = earlier.identity;
    keys.insert(now.identity.begin(), now.identity.end());
    const auto is_missing = [&now](const std::string& stage) {
        return std::ranges::none_of(now.identity, [&stage](const auto& setting) {
            return stage_of(setting.first) == stage;
        });
    };
    for (const StageHistory& stage : earlier.stages) {
        if (!is_missing(stage.name)) continue;
        differences += fmt::format(
            "\n  stage \"{}\": the history has begun it, this configuration has "
            "no stage of that name (taken out, or renamed?)",
            stage.name);
    }
    for (const auto& [key, ignored] : keys) {
        if (of_unbegun_stage(key, earlier)) continue;  // stage.names too
        if (key.starts_with("stage.") && is_missing(stage_of(key))) continue;
        const auto stored = earlier.identity.find(key);
        const auto ours = now.identity.find(key);
        const std::string left = stored == earlier.identity.end() ? "" : stored->second;
        const std::string right = ours == now.identity.end() ? "" : ours->second;
        if (left != right) differ(key, left, right);
    }
    if (earlier.model_digest != now.model_digest) {
        differ("model digest", earlier.model_digest, now.model_digest);
    }
    for (const StageHistory& stage : earlier.stages) {
        const std::string& stored =
            stage.model_digest.empty() ? earlier.model_digest : stage.model_digest;
        const std::string& ours = facts.model_digest_of(stage.name);
        const bool of_run = stored == earlier.model_digest && ours == now.model_digest;
        if (ours.empty() || stored == ours || of_run) continue;
        differ(fmt::format("model digest of stage \"{}\"", stage.name), stored, ours);
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

std::string waiting_reason(const MissingModel& missing) {
    return fmt::format("stage \"{}\" waits for its model: {} has no config.json yet", missing.name,
                       missing.folder);
}

RunPlan::RunPlan(Configuration configuration, RunFacts facts, std::optional<RunHistory> earlier)
    : configuration_{std::move(configuration)},
      facts_{std::move(facts)},
      resumed_{earlier.has_value()} {
    header_.seed = configuration_.run.seed;
    header_.configuration = to_toml(configuration_);
    header_.model_digest = facts_.model_digest;
    header_.documents_digest = facts_.documents_digest;
    header_.identity = identity_settings(configuration_);
    if (earlier) {
        compare_identity(*earlier, header_, facts_);
        header_.run_uuid = earlier->run_uuid;
        header_.program_version = earlier->program_version;  // of its last start that searched
        header_.program_commit = earlier->program_commit;
        header_.created = earlier->created;
        // Without a score nothing binds it: its workers may have been the wrong ones.
        const bool scored = std::ranges::any_of(
            earlier->stages, [](const StageHistory& stage) { return scores_in(stage) > 0; });
        if (scored) header_.numerics_class = earlier->numerics_class;
        header_.starts = earlier->starts;
        header_.stored_at_start = earlier->stored_at_start;
        header_.idle_starts = earlier->idle_starts;
        header_.hosts = earlier->hosts;
        header_.state = earlier->state;
        header_.state_reason = earlier->state_reason;
        header_.workers = earlier->workers;
        header_.libraries = earlier->libraries;
        stored_stages_ = std::move(earlier->stages);
    } else {
        header_.run_uuid = boost::uuids::to_string(boost::uuids::random_generator{}());
        header_.created = iso_8601(utc_nanoseconds());
    }
    if (!resumed_) refuse_useless_documents();
    // Whatever is wrong with a later stage is better said before hours of search.
    for (std::size_t i = 0; i < configuration_.stages.size(); ++i) static_cast<void>(planned(i));
    begin_stages();
    refuse_moved_bases();
}

/// A document that fills no stage's target is a mistake, better said before a search begins.
void RunPlan::refuse_useless_documents() const {
    const StageSettings& shortest =
        *std::ranges::min_element(configuration_.stages, {}, &StageSettings::target_tokens);
    for (std::size_t i = 0; i < facts_.documents.size(); ++i) {
        const DocumentFacts& document = facts_.documents[i];
        if (document.positions >= shortest.target_tokens) continue;
        throw ConfigurationError{fmt::format(
            "document {} (\"{}\", {}) fills {} positions, but stage \"{}\" has target_tokens = {}: "
            "use documents of at least that length or a smaller target",
            i, document.title, document.split, document.positions, shortest.name,
            shortest.target_tokens)};
    }
}

void RunPlan::begin_stages() {
    while (stages_.size() < configuration_.stages.size()) {
        const StageSettings& settings = configuration_.stages[stages_.size()];
        const StageHistory* earlier = stored(settings.name);
        const bool has_model = !facts_.model_digest_of(settings.name).empty();
        // What is finished is replayed without its model.
        if (!has_model && earlier == nullptr) return;
        std::optional<BaseRecord> base;
        if (!settings.base.empty()) {
            base = result_of(settings.base);
            if (!base) return;
        }
        StageRun& run = stages_.emplace_back(
            plan_stage(configuration_, settings, facts_, base ? &*base : nullptr, earlier),
            earlier);
        // Scores that are there already may open the next generation, and that one the next.
        std::vector<NumberedJob> open;
        std::vector<NumberedJob> more;
        while (more = run.ready(), !more.empty()) std::ranges::move(more, std::back_inserter(open));
        open_jobs_.push_back(std::move(open));
    }
}

/// A stage that has begun stands on the result its base had then, and so may a model that was tuned
/// with it. A base that would go on pulls it away.
void RunPlan::refuse_moved_bases() const {
    for (std::size_t i = stages_.size(); i < configuration_.stages.size(); ++i) {
        const StageSettings& settings = configuration_.stages[i];
        if (settings.base.empty() || stored(settings.name) == nullptr) continue;
        if (result_of(settings.base)) continue;
        throw IdentityMismatch{fmt::format(
            "stage \"{0}\" of the history builds on the result of stage \"{1}\", which this "
            "configuration would search on: its result may change.\nKeep stage \"{1}\" as it was, "
            "or use another --run-directory.",
            settings.name, settings.base)};
    }
}

const StageHistory* RunPlan::stored(const std::string& name) const {
    const auto found = std::ranges::find(stored_stages_, name, &StageHistory::name);
    return found == stored_stages_.end() ? nullptr : &*found;
}

/// The finished result of a stage; nothing before.
std::optional<BaseRecord> RunPlan::result_of(const std::string& stage) const {
    const auto run = std::ranges::find_if(
        stages_, [&stage](const StageRun& other) { return other.history().name == stage; });
    if (run == stages_.end() || !run->finished()) return std::nullopt;
    return base_record(run->history());
}

std::size_t RunPlan::next_stage() const {
    const auto open = std::ranges::find_if_not(stages_, &StageRun::finished);
    return static_cast<std::size_t>(open - stages_.begin());
}

std::optional<MissingModel> RunPlan::missing_model() const {
    const std::size_t next = next_stage();
    if (next == configuration_.stages.size()) return std::nullopt;
    const StageSettings& settings = configuration_.stages[next];
    if (!facts_.model_digest_of(settings.name).empty()) return std::nullopt;
    return MissingModel{next, settings.name, settings.model};
}

StagePlan RunPlan::planned(std::size_t stage) const {
    if (stage < stages_.size()) return stages_[stage].plan();
    const StageSettings& settings = configuration_.stages[stage];
    return plan_stage(configuration_, settings, facts_, nullptr, stored(settings.name));
}

StageHistory RunPlan::history_of(std::size_t stage) const {
    if (stage < stages_.size()) return stages_[stage].history();
    if (const StageHistory* earlier = stored(configuration_.stages[stage].name)) return *earlier;
    return StageRun{planned(stage), nullptr}.history();
}

bool RunPlan::complete() const {
    return next_stage() == configuration_.stages.size();
}

std::uint64_t RunPlan::restored() const {
    std::uint64_t scores = 0;
    for (const StageHistory& stage : stored_stages_) scores += scores_in(stage);
    return scores;
}

RunHistory RunPlan::snapshot() const {
    RunHistory history = header_;
    history.updated = iso_8601(utc_nanoseconds());
    for (const StageRun& stage : stages_) history.stages.push_back(stage.history());
    for (std::size_t i = stages_.size(); i < configuration_.stages.size(); ++i) {
        const StageHistory* waiting = stored(configuration_.stages[i].name);
        if (waiting != nullptr) history.stages.push_back(*waiting);
    }
    return history;
}

std::vector<NumberedJob> RunPlan::take_open_jobs(std::size_t stage) {
    return std::exchange(open_jobs_[stage], {});
}

}  // namespace longrope::coordinator
