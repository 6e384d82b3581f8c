// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "coordinator/individual.hpp"
#include "coordinator/schedule.hpp"
#include "genome/breeder.hpp"
#include "genome/random_stream.hpp"
#include "genome/search_space.hpp"

namespace longrope::coordinator {

/// Whose operators breed: docs/method.md sets them side by side.
enum class Method : std::uint8_t {
    paper,     ///< genome::PaperBreeder
    reference  ///< genome::ReferenceBreeder: one seed; of the space, its bound and its step alone
};

/// Everything that decides the trajectory of one stage's search. All of it is identity but
/// `iterations`: more of them continue the same trajectory.
struct SearchSettings {
    Method method = Method::paper;
    genome::SearchSpace space;
    std::vector<std::vector<double>> seed_factors;  ///< shape [seeds][D], in their order
    /// What the bred factors multiply, shape [D]: those of an earlier stage; empty: all 1.
    std::vector<double> base_factors{};
    std::uint32_t population = 64;      ///< P, individuals of the first generation
    std::uint32_t parents = 32;         ///< k, best ones that breed; 2..P
    std::uint32_t mutations = 16;       ///< N1, mutants per iteration
    std::uint32_t crossovers = 16;      ///< N2, crossovers per iteration
    std::uint32_t iterations = 40;      ///< T
    double mutation_probability = 0.3;  ///< p, per gene, in [0, 1]
    std::uint64_t seed = 0;
    std::string stage_name;       ///< names the random streams, with seed and individual
    std::uint64_t positions = 0;  ///< L', positions that are evaluated
};

/// Fewer than two individuals with a finite score are left to breed from.
class NoParents : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// How an evaluation ended.
struct Outcome {
    Status status =
        Status::pending;    ///< done, with a finite value; or failed, a score of +infinity
    double mean_nll = 0.0;  ///< nats per token, read where done
};

/// The evolutionary search of one stage: LongRoPE (arXiv:2402.13753), Algorithm 1, with the last
/// generation scored too. The method's breeder makes the children; selection and order are here. A
/// pure state machine, without clock, file or communication: individual k depends on the settings
/// and on the results of individuals 0..frontier-1 alone, in whatever order they were committed. To
/// resume is to run it again from the start with the stored results.
class Search {
public:
    /// @throws std::invalid_argument on sizes or a probability outside the ranges above
    /// @throws genome::InvalidGenome if the space is a single point, or there is no seed, or one
    ///         does not fit the space
    explicit Search(SearchSettings settings);

    /// Breeds the next individual, in the order of numbers. One without a candidate is skipped: no
    /// unseen child was found; it counts as committed.
    /// @returns nothing while results that its frontier needs are missing, or when all are bred
    /// @throws NoParents if fewer than two of the individuals it may see have a finite score
    /// @throws genome::PassesExhausted if the method "reference" finds no child
    [[nodiscard]] std::optional<Individual> next();

    /// Takes the result of a bred individual, in any order.
    /// @throws std::logic_error if the number is not bred, or has a result, or the outcome is
    ///         neither `failed` nor `done` with a finite value
    void commit(std::uint32_t number, Outcome outcome);

    /// Makes this generation the last one.
    /// @throws std::logic_error if an individual of a later one is bred already
    void end_after(std::uint32_t generation);

    /// All individuals are bred and have their results.
    [[nodiscard]] bool finished() const noexcept { return committed_ == total(); }
    [[nodiscard]] std::uint32_t total() const noexcept { return schedule_.total(); }
    [[nodiscard]] std::uint32_t bred() const noexcept {
        return static_cast<std::uint32_t>(individuals_.size());
    }
    /// Individuals with a result, skipped ones included.
    [[nodiscard]] std::uint32_t committed() const noexcept { return committed_; }
    [[nodiscard]] const SearchSettings& settings() const noexcept { return settings_; }
    [[nodiscard]] const Schedule& schedule() const noexcept { return schedule_; }

    /// Numbers of the best individuals that are done, by (mean_nll, number), best first.
    [[nodiscard]] std::vector<std::uint32_t> best(std::size_t count) const;

    // The following throw std::out_of_range on a number that is not bred.

    [[nodiscard]] const Individual& individual(std::uint32_t number) const;
    [[nodiscard]] Status status(std::uint32_t number) const;
    /// Nats per token; nothing unless the individual is done.
    [[nodiscard]] std::optional<double> mean_nll(std::uint32_t number) const;
    /// Rescale factors, shape [D]; empty if the individual was skipped.
    [[nodiscard]] std::vector<double> factors(std::uint32_t number) const;

private:
    [[nodiscard]] Individual breed(std::uint32_t number);
    void breed_first_population(Individual& individual, genome::RandomStream& random);
    void breed_mutation(Individual& individual, genome::RandomStream& random);
    void breed_crossover(Individual& individual, genome::RandomStream& random);
    void see_parents(std::uint32_t frontier);
    void count_committed();

    SearchSettings settings_;
    Schedule schedule_;
    std::unique_ptr<genome::Breeder> breeder_;
    std::vector<Individual> individuals_;  // index = number
    std::vector<Status> statuses_;         // of individuals_
    std::vector<double> scores_;           // of individuals_; +infinity unless done
    std::uint32_t committed_ = 0;
    std::uint32_t committed_prefix_ = 0;  // 0..prefix-1 all have results
    std::vector<std::uint32_t> parents_;  // best first, as seen at parents_frontier_
    std::uint32_t parents_frontier_ = 0;
};

}  // namespace longrope::coordinator
