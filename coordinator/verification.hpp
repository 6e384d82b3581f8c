// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "coordinator/history.hpp"

namespace longrope::coordinator {

/// What was found to follow in one stage.
struct VerifiedStage {
    std::string name;
    std::size_t individuals = 0;  ///< rows of evaluations
    std::size_t generations = 0;  ///< closed ones
    std::uint64_t scores = 0;     ///< document scores they follow from
    bool complete = false;
};

/// Replays a history from its own configuration, seed and scores per document, without the model
/// and the documents: every individual must be what the search breeds there, every mean, generation
/// and choice what the document scores give. Final rows that belong to fewer iterations are
/// replayed with these. The document scores themselves, and which documents were chosen, are taken
/// as they are.
/// @throws ReplayMismatch naming the first row, in the order of the search, that does not follow
/// @throws HistoryError if the configuration in the history cannot be read
[[nodiscard]] std::vector<VerifiedStage> verify(const RunHistory& history);

}  // namespace longrope::coordinator
