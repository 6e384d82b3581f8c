// SPDX-License-Identifier: Apache-2.0
#include "coordinator/final_choice.hpp"

#include <algorithm>
#include <set>

namespace longrope::coordinator {

std::optional<FinalChoice> final_choice(const StageHistory& stage, std::uint32_t iterations) {
    std::optional<FinalChoice> choice;
    for (const ScoreTable<ScoreRow>* table : {&stage.validation, &stage.start_token_sweep}) {
        for (const ScoreRow& row : table->rows) {
            if (row.individual < 0 || row.iterations != iterations || row.status != Status::done ||
                (choice && row.mean_nll >= choice->mean_nll)) {
                continue;
            }
            choice = {iterations, static_cast<std::uint32_t>(row.individual), row.start_tokens,
                      row.mean_nll, row.perplexity};
        }
    }
    return choice;
}

std::vector<FinalChoice> earlier_choices(const StageHistory& stage) {
    std::set<std::uint32_t> ended;
    std::set<std::uint32_t> interrupted;
    for (const ScoreTable<ScoreRow>* table : {&stage.validation, &stage.start_token_sweep}) {
        for (const ScoreRow& row : table->rows) {
            if (row.iterations >= stage.best.iterations) continue;
            (row.status == Status::pending ? interrupted : ended).insert(row.iterations);
        }
    }
    std::vector<FinalChoice> choices;
    for (const std::uint32_t iterations : ended) {
        if (interrupted.contains(iterations)) continue;
        if (const auto choice = final_choice(stage, iterations)) choices.push_back(*choice);
    }
    return choices;
}

}  // namespace longrope::coordinator
