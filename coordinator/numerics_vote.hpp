// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>

#include "worker/protocol/transport.hpp"

namespace longrope::coordinator {

/// In which numerics class something new is computed, where workers differ: in that of most of
/// them, of two with as many in that of the lowest worker. So it is not left to whichever was ready
/// first, a single node of another kind perhaps, which class a search of days is bound to.
class NumericsVote {
public:
    /// @param workers  whose words count
    explicit NumericsVote(std::span<const protocol::WorkerId> workers);

    void hear(protocol::WorkerId worker, const std::string& numerics_class);
    /// The worker will have no word, or a word no more.
    void leave_out(protocol::WorkerId worker);

    /// The class that those who have not spoken yet cannot change any more; nothing before.
    [[nodiscard]] std::optional<std::string> decided() const;
    /// The class of those who have spoken; nothing if nobody has.
    [[nodiscard]] std::optional<std::string> leading() const;

private:
    struct Share {
        std::size_t votes = 0;
        protocol::WorkerId lowest = 0;
    };
    [[nodiscard]] std::map<std::string, Share> shares() const;

    std::set<protocol::WorkerId> silent_;
    std::map<protocol::WorkerId, std::string> heard_;
};

}  // namespace longrope::coordinator
