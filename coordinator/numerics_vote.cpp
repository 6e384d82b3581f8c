// SPDX-License-Identifier: Apache-2.0
#include "coordinator/numerics_vote.hpp"

#include <algorithm>
#include <cstddef>

namespace longrope::coordinator {

NumericsVote::NumericsVote(std::span<const protocol::WorkerId> workers)
    : silent_{workers.begin(), workers.end()} {}

void NumericsVote::hear(protocol::WorkerId worker, const std::string& numerics_class) {
    silent_.erase(worker);
    heard_[worker] = numerics_class;
}

void NumericsVote::leave_out(protocol::WorkerId worker) {
    silent_.erase(worker);
    heard_.erase(worker);
}

std::map<std::string, NumericsVote::Share> NumericsVote::shares() const {
    std::map<std::string, Share> shares;
    for (const auto& [worker, numerics_class] : heard_) {  // the lowest first
        Share& share = shares.try_emplace(numerics_class, Share{0, worker}).first->second;
        ++share.votes;
    }
    return shares;
}

std::optional<std::string> NumericsVote::leading() const {
    const auto all = shares();
    const auto is_behind = [](const auto& one, const auto& other) {
        return one.second.votes < other.second.votes ||
               (one.second.votes == other.second.votes && one.second.lowest > other.second.lowest);
    };
    const auto first = std::ranges::max_element(all, is_behind);
    return first == all.end() ? std::nullopt : std::optional{first->first};
}

std::optional<std::string> NumericsVote::decided() const {
    const auto leader = leading();
    if (!leader || silent_.empty()) return leader;
    auto others = shares();
    const Share own = others.at(*leader);
    others.erase(*leader);
    // What would be if all who are silent joined another class, or one that is still unheard of.
    const auto overtakes = [&](std::size_t votes, protocol::WorkerId lowest) {
        votes += silent_.size();
        lowest = std::min(lowest, *silent_.begin());
        return votes > own.votes || (votes == own.votes && lowest < own.lowest);
    };
    if (overtakes(0, *silent_.begin())) return std::nullopt;
    for (const auto& [name, share] : others) {
        if (overtakes(share.votes, share.lowest)) return std::nullopt;
    }
    return leader;
}

}  // namespace longrope::coordinator
