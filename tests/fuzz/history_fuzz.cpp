// SPDX-License-Identifier: Apache-2.0
#include <span>
#include <string>

#include "coordinator/history_decoding.hpp"
#include "coordinator/history_digest.hpp"
#include "tests/fuzz/fuzz_targets.hpp"
#include "tests/fuzz/hdf5_reading.hpp"

namespace longrope::fuzz {

Hdf5Reading read_history(std::span<const std::uint8_t> bytes) {
    try {
        const coordinator::RunHistory history =
            coordinator::decode_history(std::as_bytes(bytes), "search.h5");
        const std::string digest = coordinator::content_digest(history);
        return {digest, "", digest};
    } catch (const coordinator::HistoryError& error) {
        return {std::nullopt, error.what()};
    }
}

int fuzz_history(const std::uint8_t* data, std::size_t size) {
    const Hdf5Reading reading = read_history({data, size});
    require(reading.content || !reading.refusal.empty(), "a refusal says why");
    return 0;
}

}  // namespace longrope::fuzz
