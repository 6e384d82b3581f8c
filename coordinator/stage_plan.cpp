// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>
#include <utility>

#include "genome/attention_scale.hpp"
#include "genome/named_baselines.hpp"
#include "genome/random_stream.hpp"
#include "worker/protocol/messages.hpp"

namespace longrope::coordinator {
namespace {

/// n-hat, in tokens. Source: LongRoPE (arXiv:2402.13753), table 4.
constexpr std::array<std::uint32_t, 14> start_token_choices{0,  1,  2,  4,  8,  12,  16,
                                                            20, 24, 28, 32, 64, 128, 256};

/// `count` documents of a split that fill the target, chosen by the stream (all if 0), ascending.
/// Shorter ones are for other stages: a campaign searches a short list on many short documents, and
/// a long one, where each costs much, on few.
/// @param own  the count is the stage's own setting
DocumentSet choose_documents(const RunFacts& facts, const std::string& split, std::uint32_t count,
                             bool own, const StageSettings& stage, genome::RandomStream& random) {
    const std::string setting = own ? fmt::format("stage \"{}\": {}_documents", stage.name, split)
                                    : fmt::format("documents.{}", split);
    std::vector<std::uint32_t> candidates;
    bool any_shorter = false;
    for (std::uint32_t i = 0; i < facts.documents.size(); ++i) {
        const DocumentFacts& document = facts.documents[i];
        if (document.split != split) continue;
        if (document.positions >= stage.target_tokens) {
            candidates.push_back(i);
        } else {
            any_shorter = true;
        }
    }
    const std::string that_fill = any_shorter
                                      ? fmt::format(" that fill the {} tokens of stage \"{}\"",
                                                    stage.target_tokens, stage.name)
                                      : "";
    if (count > 0 && candidates.empty()) {
        throw ConfigurationError{
            fmt::format("{} = {}, but the documents file has none of this split{}: make some with "
                        "scripts/tokenize_documents.py{}",
                        setting, count, that_fill, split == "search" ? "" : ", or use 0 for none")};
    }
    if (count > candidates.size()) {
        throw ConfigurationError{fmt::format(
            "{} = {}, but the documents file has {} of this split{}: use a value in [0, {}], where "
            "0 means all of them",
            setting, count, candidates.size(), that_fill, candidates.size())};
    }
    if (count == 0) count = static_cast<std::uint32_t>(candidates.size());
    for (std::uint32_t i = 0; i < count; ++i) {  // Fisher-Yates, as far as needed
        const auto left = static_cast<std::uint32_t>(candidates.size()) - i;
        std::swap(candidates[i], candidates[i + random.uniform_integer(left)]);
    }
    candidates.resize(count);
    std::sort(candidates.begin(), candidates.end());
    DocumentSet chosen;
    for (const std::uint32_t index : candidates) {
        chosen.documents.push_back(index);
        chosen.titles.push_back(facts.documents[index].title);
    }
    return chosen;
}

/// The extension ratio that bounds the bred factors: they are multipliers where the stage has a
/// base to extend.
double bred_ratio(const StageSettings& stage, double window, const BaseRecord& base) {
    const auto target = static_cast<double>(stage.target_tokens);
    if (stage.kind == "recovery") return std::max(target / window, 1.0);
    return base.stage.empty() ? target / window : target / base.target_tokens;
}

/// Rules of published code where a recovery is searched: LongRoPE (arXiv:2402.13753) lowers the
/// largest factor for short lengths and does not say how far.
double bound_of(const StageSettings& stage, double ratio) {
    const double bound = max_factor(stage.bound, ratio);
    constexpr double least_of_recovery = 1.25;
    const bool relative = stage.bound.find('s') != std::string::npos;
    return stage.kind == "recovery" && relative ? std::max(bound, least_of_recovery) : bound;
}

/// Adds a vector unless one of the same function is there.
void add_unless_known(std::vector<NamedVector>& vectors, NamedVector vector) {
    const bool known = std::ranges::any_of(vectors, [&vector](const NamedVector& other) {
        return other.factors == vector.factors && other.start_tokens == vector.start_tokens;
    });
    if (!known) vectors.push_back(std::move(vector));
}

/// PI, NTK and YaRN go with the untouched model into the held-out table.
bool is_heldout(const std::string& seed) {
    return seed == "pi" || seed == "ntk" || seed == "yarn";
}

/// What a stage without a base starts from.
void add_seeds(StagePlan& plan, const genome::RotaryFacts& rotary, double target) {
    for (genome::NamedFactors& seed : genome::seed_baselines(rotary, target)) {
        plan.search.seed_factors.push_back(seed.factors);
        const bool heldout = is_heldout(seed.name);
        plan.baselines.push_back({std::move(seed.name), std::move(seed.factors), 0, heldout});
    }
}

/// A second search: the seeds are multipliers for the ratio of the two targets. The usual methods
/// for the whole ratio are scored for comparison alone.
/// Source: github.com/microsoft/LongRoPE, research branch, `--search_twice`.
void add_multiplier_seeds(StagePlan& plan, const genome::RotaryFacts& rotary, double target,
                          double ratio) {
    for (const char* name : {"pi", "ntk", "yarn"}) {
        plan.baselines.push_back(
            {name, genome::named_baseline(name, rotary, target).value(), 0, true});
    }
    plan.baselines.push_back({base_row, plan.base.factors, plan.base.start_tokens, true});
    for (genome::NamedFactors& seed :
         genome::seed_baselines(rotary, ratio * rotary.original_window)) {
        NamedVector product{fmt::format("{} * {}", base_row, seed.name), seed.factors};
        std::ranges::transform(product.factors, plan.base.factors, product.factors.begin(),
                               std::multiplies<>{});
        plan.baselines.push_back(std::move(product));
        plan.search.seed_factors.push_back(std::move(seed.factors));
    }
    plan.search.base_factors = plan.base.factors;
}

/// A recovery starts from what short texts had before, and from what the weights were tuned for.
void add_recovery_seeds(StagePlan& plan, const genome::RotaryFacts& rotary, double ratio) {
    std::vector<NamedVector> seeds{plan.baselines.front()};
    for (genome::NamedFactors& seed :
         genome::seed_baselines(rotary, ratio * rotary.original_window)) {
        const bool heldout = is_heldout(seed.name);
        add_unless_known(seeds, {std::move(seed.name), std::move(seed.factors), 0, heldout});
    }
    seeds.push_back({base_row, plan.base.factors, plan.base.start_tokens, true});
    const double base_ratio = plan.base.target_tokens / rotary.original_window;
    add_unless_known(seeds, {fmt::format("{} rescaled", base_row),
                             genome::length_rescaled(plan.base.factors, base_ratio, ratio)});
    for (const NamedVector& seed : seeds) plan.search.seed_factors.push_back(seed.factors);
    plan.baselines = std::move(seeds);
}

/// m: with the deployed list goes one scale, so that a recovery keeps the one of its base.
double attention_scale_of(const Configuration& configuration, const StageSettings& stage,
                          double window, const BaseRecord& base) {
    const auto scale = genome::AttentionScale::parse(configuration.evaluator.attention_scale);
    if (!scale) {
        throw ConfigurationError{fmt::format("evaluator.attention_scale = \"{}\": expected {}",
                                             configuration.evaluator.attention_scale,
                                             genome::AttentionScale::accepted())};
    }
    if (stage.kind == "recovery") return base.attention_scale;
    return scale->value(window, static_cast<double>(stage.target_tokens));
}

/// @throws ConfigurationError naming the settings that leave no factors to search
genome::SearchSpace space_of(const StageSettings& stage, std::size_t dimensions, double ratio,
                             const std::vector<std::uint32_t>& choices) {
    const auto unusable = [&stage](const std::string& why, const char* remedy) {
        return ConfigurationError{fmt::format(
            "stage \"{}\": bound = \"{}\", grid_step = {} and target_tokens = {} give no factors "
            "to "
            "search: {}: {}",
            stage.name, stage.bound, stage.grid_step, stage.target_tokens, why, remedy)};
    };
    try {
        genome::SearchSpace space{dimensions, stage.grid_step, bound_of(stage, ratio), choices};
        if (!space.is_single_point()) return space;
    } catch (const genome::InvalidGenome& error) {
        throw unusable(error.what(), "lower the bound or the target, or raise the grid step");
    }
    throw unusable("a single point is left, all factors 1", "raise the bound");
}

/// All of a plan but its documents.
/// @param base  its record; without stage where the stage builds on none
/// @throws ConfigurationError
StagePlan plan_search(const Configuration& configuration, const StageSettings& stage,
                      const genome::RotaryFacts& rotary, const BaseRecord& base) {
    constexpr double least_window = 7.0;  // above 2 pi, which NTK and YaRN divide it by
    if (rotary.rotary_pairs < 2 || rotary.rotary_pairs > protocol::max_factors ||
        rotary.original_window < least_window) {
        throw ConfigurationError{fmt::format(
            "the model has {} rotary pairs and an original window of {} tokens: factors can be "
            "searched for 2 to {} pairs and a window of at least {}",
            rotary.rotary_pairs, rotary.original_window, protocol::max_factors, least_window)};
    }
    const double window = rotary.original_window;
    const auto target = static_cast<double>(stage.target_tokens);
    const double ratio = bred_ratio(stage, window, base);
    std::vector<std::uint32_t> choices{0};
    if (stage.start_tokens == "gene") {
        choices.assign(start_token_choices.begin(), start_token_choices.end());
    }

    SearchSettings search{.method = stage.method == "reference" ? Method::reference : Method::paper,
                          .space = space_of(stage, rotary.rotary_pairs, ratio, choices)};
    search.population = stage.population;
    search.parents = stage.parents;
    search.mutations = stage.mutations;
    search.crossovers = stage.crossovers;
    search.iterations = stage.iterations;
    search.mutation_probability = stage.mutation_probability;
    search.seed = configuration.run.seed;
    search.stage_name = stage.name;
    search.positions = stage.target_tokens;

    StagePlan plan{stage, std::move(search), window, rotary.theta, 1.0, stage.target_tokens};
    plan.attention_scale = attention_scale_of(configuration, stage, window, base);
    plan.lengths = normalised(parse_objective(stage.objective)
                                  .value_or(std::vector<ScoredLength>{{stage.target_tokens, 1.0}}));
    plan.base = base;
    plan.baselines.push_back(
        {"none", genome::named_baseline("none", rotary, target).value(), 0, true});
    if (stage.kind == "recovery") {
        add_recovery_seeds(plan, rotary, ratio);
    } else if (!base.stage.empty()) {
        add_multiplier_seeds(plan, rotary, target, ratio);
    } else {
        add_seeds(plan, rotary, target);
    }
    if (plan.search.method == Method::reference) {
        plan.search.seed_factors = {genome::ramp_factors(rotary, ratio * window)};
    }
    if (stage.start_tokens == "sweep") {
        // 0 is what the search used, and 1 is the same function.
        for (const std::uint32_t choice : start_token_choices) {
            if (choice > 1) plan.swept_start_tokens.push_back(choice);
        }
    }
    return plan;
}

/// In place of a result that is still to come, so that all else can be planned.
BaseRecord stand_in(const Configuration& configuration, const StageSettings& stage,
                    const RunFacts& facts) {
    BaseRecord base;
    const auto found = std::ranges::find(configuration.stages, stage.base, &StageSettings::name);
    if (found == configuration.stages.end()) return base;
    base.stage = stage.base;
    base.target_tokens = static_cast<double>(found->target_tokens);
    // Like no named vector, so that none counts as the same row.
    for (std::uint32_t i = 0; i < facts.rotary_pairs; ++i) {
        base.factors.push_back(1.0 + 0.0625 * (i + 1.0) / facts.rotary_pairs);
    }
    base.attention_scale =
        attention_scale_of(configuration, *found, static_cast<double>(facts.original_window), base);
    return base;
}

/// The documents of a table whose columns are documents by length.
template <typename Row>
DocumentSet stored_documents(const ScoreTable<Row>& table, std::size_t lengths,
                             const std::string& stage) {
    const std::size_t columns = table.documents.size();
    if (columns % lengths != 0) {
        throw HistoryError{fmt::format("stage \"{}\": {} columns for {} lengths of the objective",
                                       stage, columns, lengths)};
    }
    const auto count = static_cast<std::ptrdiff_t>(columns / lengths);
    return {{table.documents.begin(), table.documents.begin() + count},
            {table.document_titles.begin(), table.document_titles.begin() + count}};
}

/// Those that the stage was begun with, whatever other stages there are now.
void take_documents(StagePlan& plan, const StageHistory& begun) {
    const std::size_t lengths = plan.lengths.size();
    plan.search_documents = stored_documents(begun.evaluations, lengths, begun.name);
    plan.validation_documents = stored_documents(begun.validation, lengths, begun.name);
    plan.heldout_documents = stored_documents(begun.heldout, lengths, begun.name);
}

}  // namespace

const std::string& RunFacts::model_digest_of(const std::string& stage) const {
    const auto own = stage_model_digests.find(stage);
    return own == stage_model_digests.end() ? model_digest : own->second;
}

EvolutionSize evolution_size(const StageSettings& stage) noexcept {
    const std::uint64_t children = std::uint64_t{stage.mutations} + stage.crossovers;
    std::uint64_t iterations = stage.iterations;
    if (stage.max_evaluations > 0) {
        iterations = std::min(iterations,
                              (std::uint64_t{stage.max_evaluations} - stage.population) / children);
    }
    return {1 + iterations, stage.population + iterations * children};
}

std::uint64_t StagePlan::individuals() const noexcept {
    return evolution_size(settings).individuals;
}

std::uint64_t StagePlan::heldout_rows() const noexcept {
    const auto rows = std::ranges::count_if(baselines, &NamedVector::heldout);
    return static_cast<std::uint64_t>(rows) + 1;
}

std::vector<std::uint64_t> StagePlan::batches() const {
    const std::uint64_t searched = search_documents.documents.size() * lengths.size();
    const std::uint64_t validated = validation_documents.documents.size() * lengths.size();
    const std::uint64_t heldout = heldout_documents.documents.size() * lengths.size();
    const std::uint64_t children = search.mutations + search.crossovers;
    std::vector<std::uint64_t> batches;
    batches.push_back((baselines.size() + search.population) * searched);
    const std::uint64_t bred = individuals() - search.population;
    for (std::uint64_t done = 0; done < bred; done += children) {
        batches.push_back(children * searched);
    }
    for (const std::uint64_t tasks :
         {(finalists + baselines.size()) * validated, swept_start_tokens.size() * validated,
          heldout_rows() * heldout}) {
        if (tasks > 0) batches.push_back(tasks);
    }
    return batches;
}

std::uint64_t StagePlan::tasks_at_once() const noexcept {
    const std::uint64_t children = search.mutations + search.crossovers;
    const std::uint64_t bred = search.iterations == 0 ? search.population : children;
    return bred * search_documents.documents.size() * lengths.size();
}

std::uint64_t StagePlan::tasks() const {
    const std::vector<std::uint64_t> all = batches();
    return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

StagePlan plan_stage(const Configuration& configuration, const StageSettings& stage,
                     const RunFacts& facts, const BaseRecord* base, const StageHistory* begun) {
    if (stage.kind == "search" && stage.target_tokens <= facts.original_window) {
        throw ConfigurationError{fmt::format(
            "stage \"{}\": target_tokens = {} is not above the model's original window of {} "
            "tokens: there is nothing to extend",
            stage.name, stage.target_tokens, facts.original_window)};
    }
    StagePlan plan =
        plan_search(configuration, stage,
                    {facts.rotary_pairs, facts.theta, static_cast<double>(facts.original_window)},
                    base ? *base : stand_in(configuration, stage, facts));
    plan.model_digest = facts.model_digest_of(stage.name);
    genome::RandomStream random{configuration.run.seed, "documents", 0};
    const DocumentSettings& wanted = configuration.documents;
    if (begun != nullptr) {
        take_documents(plan, *begun);
        return plan;
    }
    const auto choose = [&](const char* split, const std::string& own, std::uint32_t common) {
        const std::uint32_t count =
            own.empty() ? common : static_cast<std::uint32_t>(std::stoul(own));
        return choose_documents(facts, split, count, !own.empty(), stage, random);
    };
    plan.search_documents = choose("search", stage.search_documents, wanted.search);
    plan.validation_documents = choose("validation", stage.validation_documents, wanted.validation);
    plan.heldout_documents = choose("heldout", stage.heldout_documents, wanted.heldout);
    if (!plan.swept_start_tokens.empty() && plan.validation_documents.documents.empty()) {
        throw ConfigurationError{fmt::format(
            "stage \"{}\": start_tokens = \"sweep\" chooses on validation documents, and there are "
            "none: use \"gene\" or \"none\", or a documents file with that split",
            stage.name)};
    }
    if (plan.search_documents.documents.empty()) {
        throw ConfigurationError{
            fmt::format("the documents file has no document of the split \"search\" that fills the "
                        "{} tokens of "
                        "stage \"{}\": the search needs at least one",
                        stage.target_tokens, stage.name)};
    }
    return plan;
}

StagePlan plan_stored_stage(const Configuration& configuration, const StageSettings& stage,
                            const StageHistory& stored) {
    const std::uint32_t dimensions = stored.evaluations.dimensions;
    const std::size_t of_base = stage.base.empty() ? 0 : dimensions;
    if (stored.base.stage != stage.base || stored.base.factors.size() != of_base) {
        throw HistoryError{fmt::format(
            "stage \"{}\" of the history: its base is \"{}\" with {} factors, expected \"{}\" "
            "with {}",
            stage.name, stored.base.stage, stored.base.factors.size(), stage.base, of_base)};
    }
    StagePlan plan = plan_search(configuration, stage,
                                 {dimensions, stored.theta, stored.original_window}, stored.base);
    plan.model_digest = stored.model_digest;
    take_documents(plan, stored);
    return plan;
}

}  // namespace longrope::coordinator
