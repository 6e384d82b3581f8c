// SPDX-License-Identifier: Apache-2.0
#include "coordinator/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <span>
#include <utility>

#include "genome/genome.hpp"
#include "genome/initial_population.hpp"
#include "genome/paper_breeder.hpp"
#include "genome/reference_breeder.hpp"
#include "genome/selection.hpp"

namespace longrope::coordinator {

namespace {

SearchSettings checked(SearchSettings settings) {
    if (settings.parents < 2 || settings.parents > settings.population) {
        throw std::invalid_argument{fmt::format("{} parents of a population of {}; use 2 to {}",
                                                settings.parents, settings.population,
                                                settings.population)};
    }
    if (!(settings.mutation_probability >= 0.0 && settings.mutation_probability <= 1.0)) {
        throw std::invalid_argument{fmt::format("the mutation probability is {}; use 0 to 1",
                                                settings.mutation_probability)};
    }
    if (!settings.base_factors.empty() &&
        settings.base_factors.size() != settings.space.dimensions()) {
        throw std::invalid_argument{fmt::format("a base of {} factors for a space of {}",
                                                settings.base_factors.size(),
                                                settings.space.dimensions())};
    }
    if (settings.space.is_single_point()) {
        throw genome::InvalidGenome{
            fmt::format("nothing to search at stage '{}': every rescale factor can only be 1",
                        settings.stage_name)};
    }
    return settings;
}

std::unique_ptr<genome::Breeder> breeder_of(const SearchSettings& settings) {
    if (settings.method == Method::paper) {
        return std::make_unique<genome::PaperBreeder>(
            settings.space, settings.seed_factors, settings.mutation_probability,
            settings.positions,
            settings.base_factors.empty() ? genome::Multiplied::unscaled
                                          : genome::Multiplied::rescaled);
    }
    if (settings.seed_factors.size() != 1) {
        throw genome::InvalidGenome{fmt::format("{} seeds; the reference starts from one vector",
                                                settings.seed_factors.size())};
    }
    return std::make_unique<genome::ReferenceBreeder>(
        settings.seed_factors.front(),
        genome::ReferenceSpace{.max_factor = settings.space.max_factor(),
                               .step = settings.space.grid_step(),
                               .redraw_probability = settings.mutation_probability});
}

std::int32_t parent_number(std::uint32_t number) {
    return static_cast<std::int32_t>(number);
}

}  // namespace

Search::Search(SearchSettings settings)
    : settings_{checked(std::move(settings))},
      schedule_{{.population = settings_.population,
                 .mutations = settings_.mutations,
                 .crossovers = settings_.crossovers,
                 .iterations = settings_.iterations}},
      breeder_{breeder_of(settings_)} {}

std::optional<Individual> Search::next() {
    const std::uint32_t number = bred();
    if (number == total()) return std::nullopt;
    const std::uint32_t frontier = schedule_.frontier(number);
    if (committed_prefix_ < frontier) return std::nullopt;
    if (frontier > 0) see_parents(frontier);

    Individual individual = breed(number);
    statuses_.push_back(individual.candidate ? Status::pending : Status::skipped);
    scores_.push_back(std::numeric_limits<double>::infinity());
    individuals_.push_back(individual);
    if (!individual.candidate) count_committed();
    return individual;
}

void Search::end_after(std::uint32_t generation) {
    const std::uint32_t total = schedule_.last_of(generation) + 1;
    if (bred() > total) {
        throw std::logic_error{
            fmt::format("the search cannot end after generation {}: {} of {} "
                        "individuals are bred",
                        generation, bred(), total)};
    }
    settings_.iterations = generation;
    ScheduleSizes sizes = schedule_.sizes();
    sizes.iterations = generation;
    schedule_ = Schedule{sizes};
}

void Search::commit(std::uint32_t number, Outcome outcome) {
    if (number >= bred()) {
        throw std::logic_error{
            fmt::format("a result for individual {}, but only {} are bred", number, bred())};
    }
    if (statuses_[number] != Status::pending) {
        throw std::logic_error{fmt::format("a second result for individual {}", number)};
    }
    const bool done = outcome.status == Status::done && std::isfinite(outcome.mean_nll);
    if (!done && outcome.status != Status::failed) {
        throw std::logic_error{
            fmt::format("individual {} with status {} and mean NLL {} is "
                        "neither failed nor done with a finite value",
                        number, static_cast<int>(outcome.status), outcome.mean_nll)};
    }
    statuses_[number] = outcome.status;
    if (done) scores_[number] = outcome.mean_nll;
    count_committed();
}

void Search::count_committed() {
    ++committed_;
    while (committed_prefix_ < bred() && statuses_[committed_prefix_] != Status::pending) {
        ++committed_prefix_;
    }
}

std::vector<std::uint32_t> Search::best(std::size_t count) const {
    return genome::best_by_score(scores_, count);
}

const Individual& Search::individual(std::uint32_t number) const {
    return individuals_.at(number);
}

Status Search::status(std::uint32_t number) const {
    return statuses_.at(number);
}

std::optional<double> Search::mean_nll(std::uint32_t number) const {
    if (statuses_.at(number) != Status::done) return std::nullopt;
    return scores_[number];
}

std::vector<double> Search::factors(std::uint32_t number) const {
    const auto& candidate = individuals_.at(number).candidate;
    return candidate ? candidate->factors : std::vector<double>{};
}

void Search::see_parents(std::uint32_t frontier) {
    if (parents_frontier_ == frontier) return;
    auto parents = genome::best_by_score(std::span{scores_}.first(frontier), settings_.parents);
    if (parents.size() < 2) {
        throw NoParents{fmt::format(
            "stage \"{}\": {} of the first {} individuals have a finite score; individual {} needs "
            "two parents. See with longrope evaluate whether the model itself gives finite scores",
            settings_.stage_name, parents.size(), frontier, bred())};
    }
    parents_ = std::move(parents);
    parents_frontier_ = frontier;
}

Individual Search::breed(std::uint32_t number) {
    genome::RandomStream random{settings_.seed, settings_.stage_name, number};
    Individual individual;
    individual.number = number;
    individual.generation = schedule_.generation_of(number);
    individual.frontier = schedule_.frontier(number);
    if (individual.generation == 0) {
        breed_first_population(individual, random);
    } else if (schedule_.is_mutation(number)) {
        breed_mutation(individual, random);
    } else {
        breed_crossover(individual, random);
    }
    if (individual.candidate && !settings_.base_factors.empty()) {
        std::ranges::transform(individual.candidate->factors, settings_.base_factors,
                               individual.candidate->factors.begin(), std::multiplies<>{});
    }
    return individual;
}

void Search::breed_first_population(Individual& individual, genome::RandomStream& random) {
    if (individual.number < breeder_->seeds()) {
        individual.origin = Origin::seed;
        individual.candidate = breeder_->breed_seed();
        return;
    }
    const std::uint32_t seed = genome::seed_of_member(individual.number, breeder_->seeds());
    individual.origin = Origin::initial_mutation;
    individual.parent_a = parent_number(seed);
    individual.candidate = breeder_->breed_mutant(seed, random);
}

void Search::breed_mutation(Individual& individual, genome::RandomStream& random) {
    const auto count = static_cast<std::uint32_t>(parents_.size());
    const std::uint32_t parent = parents_[random.uniform_integer(count)];
    individual.origin = Origin::mutation;
    individual.parent_a = parent_number(parent);
    individual.candidate = breeder_->breed_mutant(parent, random);
}

void Search::breed_crossover(Individual& individual, genome::RandomStream& random) {
    const auto ranks = genome::draw_pair(static_cast<std::uint32_t>(parents_.size()), random);
    const std::uint32_t a = parents_[ranks.better];
    const std::uint32_t b = parents_[ranks.worse];
    genome::Crossing crossing = breeder_->breed_crossover(a, b, random);
    individual.origin = crossing.mutated ? Origin::mutation : Origin::crossover;
    individual.parent_a = parent_number(a);
    individual.parent_b = crossing.mutated ? -1 : parent_number(b);
    individual.candidate = std::move(crossing.child);
}

}  // namespace longrope::coordinator
