// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "coordinator/configuration.hpp"
#include "coordinator/history.hpp"
#include "coordinator/history_digest.hpp"
#include "coordinator/score_table.hpp"
#include "coordinator/stage_plan.hpp"

namespace longrope::coordinator {

/// A whole run in miniature: 26 individuals over three iterations, then the final phase.
inline Configuration small_configuration(std::uint32_t iterations = 3) {
    Configuration configuration;
    configuration.evaluator.backend = "synthetic";
    configuration.run.directory = "unused";
    configuration.run.seed = 7;
    StageSettings stage;
    stage.name = "2048";
    stage.target_tokens = 2048;
    stage.population = 8;
    stage.parents = 4;
    stage.mutations = 3;
    stage.crossovers = 3;
    stage.iterations = iterations;
    stage.start_tokens = "sweep";
    configuration.stages.push_back(stage);
    return configuration;
}

/// Nine documents, three of each split, in the order of a documents file.
inline RunFacts small_facts() {
    RunFacts facts;
    facts.rotary_pairs = 8;
    facts.theta = 10000.0;
    facts.original_window = 256;
    facts.model_digest = "model 1";
    facts.documents_digest = "documents 1";
    for (const char* split : {"search", "validation", "heldout"}) {
        for (int i = 1; i <= 3; ++i) {
            facts.documents.push_back({std::string{split} + " " + std::to_string(i), split, 4096});
        }
    }
    return facts;
}

/// A closed form in place of an evaluation: sum of negative log-likelihoods in nats. Its optimum
/// shifts a little with the document, and 20 start tokens are best.
inline double closed_form_sum(const std::vector<double>& factors, std::uint32_t start_tokens,
                              std::uint32_t document, std::uint64_t positions) {
    double distance = 0.0;
    for (std::size_t i = 0; i < factors.size(); ++i) {
        const double position = static_cast<double>(i) / static_cast<double>(factors.size());
        const double optimum =
            std::log(8.0) / (1.0 + std::exp(-12.0 * (position - 0.6 - 0.01 * document)));
        distance += std::pow(std::log(factors[i]) - optimum, 2);
    }
    const double start = std::abs(static_cast<double>(start_tokens) - 20.0) / 1000.0;
    const double mean =
        3.0 + 0.1 * document + distance / static_cast<double>(factors.size()) + start;
    return mean * static_cast<double>(positions - 1);
}

/// Of a row that faults ended, other documents may have a score or not: that depends on who was
/// faster, and nothing is decided by it.
template <typename Row>
void forget_half_scored(ScoreTable<Row>& table) {
    for (std::size_t row = 0; row < table.rows.size(); ++row) {
        const std::size_t width = table.documents.size();
        const auto cells = std::span{table.document_status}.subspan(row * width, width);
        if (std::ranges::find(cells, DocumentStatus::skipped) == cells.end()) continue;
        std::ranges::fill(cells, DocumentStatus::skipped);
        std::ranges::fill(std::span{table.document_nll}.subspan(row * width, width), NAN);
        table.rows[row].tokens = 0;
    }
}

/// A digest of what a search found, blind to who computed it, when, and in how many attempts.
inline std::string found_digest(const std::vector<StageHistory>& stages) {
    RunHistory found;
    found.stages = stages;
    const auto forget = [](auto& table) {
        forget_half_scored(table);
        for (auto& row : table.rows) {
            row.attempts = 0;
            row.worker = 0;
            row.started = 0;
            row.finished = 0;
        }
    };
    for (StageHistory& stage : found.stages) {
        forget(stage.baselines), forget(stage.evaluations), forget(stage.validation);
        forget(stage.start_token_sweep), forget(stage.heldout);
        for (GenerationRow& generation : stage.generations) generation.finished = 0;
        stage.failures.clear();
        stage.task_seconds = 0;
    }
    return content_digest(found);
}

}  // namespace longrope::coordinator
