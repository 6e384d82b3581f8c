// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/history.hpp"
#include "coordinator/objective.hpp"
#include "coordinator/search.hpp"

namespace longrope::coordinator {

/// What the coordinator must know of a document; `split` as in the documents file.
struct DocumentFacts {
    std::string title;
    std::string split;            ///< search, validation, heldout
    std::uint64_t positions = 0;  ///< that it can fill, BOS included
};

/// What the coordinator must know of model and documents. The caller reads it from the files.
struct RunFacts {
    std::uint32_t rotary_pairs = 0;     ///< D
    double theta = 0.0;                 ///< RoPE base
    std::uint64_t original_window = 0;  ///< L, tokens
    std::string model_digest;
    /// By stage name, of stages with weights of their own; empty: they do not exist yet.
    std::map<std::string, std::string> stage_model_digests{};
    std::string documents_digest;
    std::vector<DocumentFacts> documents;  ///< in the order of the file
    bool begin_with_bos = false;           ///< a BOS stands before every document's tokens
    /// That the documents were made with another tokenizer than the model's, in words; or empty.
    std::string tokenizer_mismatch{};

    /// Of the weights that a stage is scored with; empty: they do not exist yet.
    [[nodiscard]] const std::string& model_digest_of(const std::string& stage) const;
};

/// The documents of one purpose, in ascending order of their index in the file.
struct DocumentSet {
    std::vector<std::uint32_t> documents;
    std::vector<std::string> titles;
};

/// A factor vector that a stage scores beside the ones it breeds.
struct NamedVector {
    std::string name;
    std::vector<double> factors;  ///< shape [D]
    std::uint32_t start_tokens = 0;
    bool heldout = false;  ///< a row of the held-out table
};

/// How far the evolution of a stage goes unless a stop rule other than max_evaluations ends it.
struct EvolutionSize {
    std::uint64_t generations = 0;  ///< the first population among them
    std::uint64_t individuals = 0;  ///< skipped ones included, an upper bound
};

[[nodiscard]] EvolutionSize evolution_size(const StageSettings& stage) noexcept;

/// Everything that one stage will do, worked out before anything runs.
struct StagePlan {
    StageSettings settings;
    SearchSettings search;
    double original_window = 0.0;
    double theta = 0.0;
    double attention_scale = 1.0;        ///< m, the same for every factor vector of the stage
    std::uint64_t positions = 0;         ///< L', of the target
    std::vector<ScoredLength> lengths;   ///< ascending, the last one is L'; weights add up to 1
    std::string model_digest;            ///< of the stage's weights; empty: they do not exist yet
    BaseRecord base;                     ///< without stage: it builds on none
    std::vector<NamedVector> baselines;  ///< none first; seeds before they are rounded are here
    DocumentSet search_documents;
    DocumentSet validation_documents;  ///< empty: the choice is made on the search documents
    DocumentSet heldout_documents;     ///< empty: no held-out scores
    std::vector<std::uint32_t> swept_start_tokens;  ///< tried on the final best; empty: none

    /// Individuals of the whole search, skipped ones included, an upper bound.
    [[nodiscard]] std::uint64_t individuals() const noexcept;
    /// (factor vector, document, length) triples that may be scored side by side, batch after
    /// batch, each an upper bound: baselines and first population, every generation, validation,
    /// start tokens, held-out scores. Nothing of a batch can begin before the one ahead of it is
    /// done.
    [[nodiscard]] std::vector<std::uint64_t> batches() const;
    /// Those of a generation after the first; of the first where there is no other. More workers
    /// than that would wait for each other.
    [[nodiscard]] std::uint64_t tasks_at_once() const noexcept;
    /// The sum of the batches.
    [[nodiscard]] std::uint64_t tasks() const;
    /// Rows of the held-out table, the searched one included.
    [[nodiscard]] std::uint64_t heldout_rows() const noexcept;
};

/// How many of the best individuals are scored on the validation documents.
inline constexpr std::uint32_t finalists = 8;

/// The name of the baseline that stands for the result of the base.
inline constexpr const char* base_row = "base";

/// @throws ConfigurationError naming key, found and accepted: a target that is not above the
///         original window, more documents than there are that fill it
/// @throws HistoryError if columns of `begun` do not fit the lengths of the objective
/// @param base  the result of stage.base; null where the stage has none, or the result is still to
///              come: then the plan is good for estimates, with a vector of no meaning in its place
/// @param begun  what an earlier start stored of the stage, whose documents it keeps; or null
[[nodiscard]] StagePlan plan_stage(const Configuration& configuration, const StageSettings& stage,
                                   const RunFacts& facts, const BaseRecord* base = nullptr,
                                   const StageHistory* begun = nullptr);

/// The same from what a history holds of the stage, without the model and the documents: rotary
/// pairs, theta, window, base and the chosen documents are taken from there.
/// @throws ConfigurationError
/// @throws HistoryError if a base is missing, or columns do not fit the lengths of the objective
[[nodiscard]] StagePlan plan_stored_stage(const Configuration& configuration,
                                          const StageSettings& stage, const StageHistory& stored);

}  // namespace longrope::coordinator
