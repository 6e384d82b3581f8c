// SPDX-License-Identifier: Apache-2.0
#include "coordinator/stage_plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "genome/attention_scale.hpp"
#include "genome/random_stream.hpp"

namespace longrope::coordinator {
namespace {

/// n-hat, in tokens. Source: LongRoPE (arXiv:2402.13753), table 4.
const std::vector<std::uint32_t> start_token_choices{0,  1,  2,  4,  8,  12,  16,
                                                     20, 24, 28, 32, 64, 128, 256};

/// `count` documents of a split, chosen by the stream (all if 0), ascending.
DocumentSet choose_documents(const RunFacts& facts, const std::string& split, std::uint32_t count,
                             const StageSettings& stage, genome::RandomStream& random) {
    std::vector<std::uint32_t> candidates;
    for (std::uint32_t i = 0; i < facts.documents.size(); ++i) {
        if (facts.documents[i].split == split) candidates.push_back(i);
    }
    if (count > 0 && candidates.empty()) {
        throw ConfigurationError{fmt::format(
            "documents.{} = {}, but the documents file has none of this split: make some with "
            "scripts/tokenize_documents.py{}",
            split, count, split == "search" ? "" : ", or use 0 for none")};
    }
    if (count > candidates.size()) {
        throw ConfigurationError{fmt::format(
            "documents.{} = {}, but the documents file has {} of this split: use a value in [0, "
            "{}], where 0 means all of them",
            split, count, candidates.size(), candidates.size())};
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
        const DocumentFacts& document = facts.documents[index];
        if (document.positions < stage.target_tokens) {
            throw ConfigurationError{fmt::format(
                "document {} (\"{}\", {}) fills {} positions, but stage \"{}\" has target_tokens = "
                "{}: use documents of at least that length or a smaller target",
                index, document.title, split, document.positions, stage.name, stage.target_tokens)};
        }
        chosen.documents.push_back(index);
        chosen.titles.push_back(document.title);
    }
    return chosen;
}

/// All of a plan but its documents.
StagePlan plan_search(const Configuration& configuration, const StageSettings& stage,
                      const genome::RotaryFacts& rotary) {
    const double window = rotary.original_window;
    const auto target = static_cast<double>(stage.target_tokens);
    const std::vector<std::uint32_t> choices =
        stage.start_tokens == "gene" ? start_token_choices : std::vector<std::uint32_t>{0};
    std::vector<genome::NamedFactors> seeds = genome::seed_baselines(rotary, target);

    SearchSettings search{
        .method = stage.method == "reference" ? Method::reference : Method::paper,
        .space = genome::SearchSpace{rotary.rotary_pairs, stage.grid_step,
                                     max_factor(stage.bound, target / window), choices}};
    if (search.space.is_single_point()) {
        throw ConfigurationError{
            fmt::format("stage \"{}\": bound = \"{}\" with grid_step = {} leaves a single point, "
                        "all factors 1: raise the bound",
                        stage.name, stage.bound, stage.grid_step)};
    }
    if (search.method == Method::reference) {
        search.seed_factors.push_back(genome::ramp_factors(rotary, target));
    } else {
        for (const genome::NamedFactors& seed : seeds) search.seed_factors.push_back(seed.factors);
    }
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
    const auto scale = genome::AttentionScale::parse(configuration.evaluator.attention_scale);
    if (!scale) {
        throw ConfigurationError{fmt::format("evaluator.attention_scale = \"{}\": expected {}",
                                             configuration.evaluator.attention_scale,
                                             genome::AttentionScale::accepted())};
    }
    plan.attention_scale = scale->value(window, target);
    plan.baselines.push_back({"none", *genome::named_baseline("none", rotary, target)});
    for (genome::NamedFactors& seed : seeds) plan.baselines.push_back(std::move(seed));
    if (stage.start_tokens == "sweep") {
        // 0 is what the search used, and 1 is the same function.
        for (const std::uint32_t choice : start_token_choices) {
            if (choice > 1) plan.swept_start_tokens.push_back(choice);
        }
    }
    return plan;
}

}  // namespace

std::uint64_t StagePlan::individuals() const noexcept {
    const std::uint64_t children = search.mutations + search.crossovers;
    std::uint64_t bred = std::uint64_t{search.iterations} * children;
    if (settings.max_evaluations > 0) {
        bred = std::min(bred, (settings.max_evaluations - search.population) / children * children);
    }
    return search.population + bred;
}

std::vector<std::uint64_t> StagePlan::batches() const {
    const std::uint64_t searched = search_documents.documents.size();
    const std::uint64_t validated = validation_documents.documents.size();
    const std::uint64_t children = search.mutations + search.crossovers;
    std::vector<std::uint64_t> batches;
    batches.push_back((baselines.size() + search.population) * searched);
    const std::uint64_t bred = individuals() - search.population;
    for (std::uint64_t done = 0; done < bred; done += children) {
        batches.push_back(children * searched);
    }
    for (const std::uint64_t tasks :
         {(finalists + baselines.size()) * validated, swept_start_tokens.size() * validated,
          (heldout_baselines.size() + 1) * heldout_documents.documents.size()}) {
        if (tasks > 0) batches.push_back(tasks);
    }
    return batches;
}

std::uint64_t StagePlan::tasks_at_once() const noexcept {
    const std::uint64_t children = search.mutations + search.crossovers;
    const std::uint64_t bred = search.iterations == 0 ? search.population : children;
    return bred * search_documents.documents.size();
}

std::uint64_t StagePlan::tasks() const {
    const std::vector<std::uint64_t> all = batches();
    return std::accumulate(all.begin(), all.end(), std::uint64_t{0});
}

StagePlan plan_stage(const Configuration& configuration, const StageSettings& stage,
                     const RunFacts& facts) {
    if (stage.target_tokens <= facts.original_window) {
        throw ConfigurationError{fmt::format(
            "stage \"{}\": target_tokens = {} is not above the model's original window of {} "
            "tokens: there is nothing to extend",
            stage.name, stage.target_tokens, facts.original_window)};
    }
    StagePlan plan =
        plan_search(configuration, stage,
                    {facts.rotary_pairs, facts.theta, static_cast<double>(facts.original_window)});
    genome::RandomStream random{configuration.run.seed, "documents", 0};
    const DocumentSettings& wanted = configuration.documents;
    plan.search_documents = choose_documents(facts, "search", wanted.search, stage, random);
    plan.validation_documents =
        choose_documents(facts, "validation", wanted.validation, stage, random);
    plan.heldout_documents = choose_documents(facts, "heldout", wanted.heldout, stage, random);
    if (plan.search_documents.documents.empty()) {
        throw ConfigurationError{
            "the documents file has no document of the split \"search\": the search needs at "
            "least one"};
    }
    return plan;
}

StagePlan plan_stored_stage(const Configuration& configuration, const StageSettings& stage,
                            const StageHistory& stored) {
    StagePlan plan =
        plan_search(configuration, stage,
                    {stored.evaluations.dimensions, stored.theta, stored.original_window});
    plan.search_documents = {stored.evaluations.documents, stored.evaluations.document_titles};
    plan.validation_documents = {stored.validation.documents, stored.validation.document_titles};
    plan.heldout_documents = {stored.heldout.documents, stored.heldout.document_titles};
    return plan;
}

}  // namespace longrope::coordinator
