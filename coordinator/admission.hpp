// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "coordinator/numerics_vote.hpp"
#include "worker/protocol/messages.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::coordinator {

/// What all workers must have and be, for their scores to go into one result.
struct Requirements {
    std::string result = "history";  ///< what the scores go into, as messages call it
    std::string model_digest;
    std::string documents_digest;
    std::string build;
    std::string numerics_class;  ///< empty: that of most workers
    bool allow_mixed_numerics = false;
};

/// Why a worker may not compute.
struct Refusal {
    std::string reason;
    std::string line;          ///< the same for a log, with the worker and its host
    bool of_numerics = false;  ///< nothing but its numerics class is wrong
};

/// What a worker has said, and whether it may compute.
struct Judgement {
    protocol::WorkerId worker = 0;
    protocol::Hello hello;
    std::optional<Refusal> refusal;  ///< nothing: it is admitted, which gives it its device
};

/// Decides by what workers say of themselves which of them may compute. Two evaluators on one GPU
/// slow each other down, so that a device is for one worker. Something new has no numerics class
/// yet: it gets that of most workers, for whose words the first ones wait a while.
class Admission {
public:
    using Clock = std::chrono::steady_clock;
    /// From the first word to the decision, at the longest.
    static constexpr std::chrono::seconds patience{60};

    /// @param workers  that are starting
    Admission(Requirements requirements, std::span<const protocol::WorkerId> workers);

    /// The weights of the next stage; what a worker said before does not count for it.
    void require_model(std::string digest);
    /// All evaluators are started anew, perhaps on other devices.
    void on_restart();
    /// A worker says who it is; of two words the last counts.
    void hear(protocol::WorkerId worker, protocol::Hello hello, Clock::time_point now);
    /// Its evaluator failed: what that said is forgotten, and the word of the next is not waited
    /// for.
    void on_failed_start(protocol::WorkerId worker);
    /// Those that can be judged by now, each once, in the order of their numbers.
    [[nodiscard]] std::vector<Judgement> judge(Clock::time_point now);
    /// The worker is gone: its device is free, and its word is waited for no more.
    void release(protocol::WorkerId worker);

    /// Of what is computed; empty before the first worker is admitted to something new.
    [[nodiscard]] const std::string& numerics_class() const noexcept {
        return required_.numerics_class;
    }

private:
    [[nodiscard]] std::optional<Refusal> refuse(protocol::WorkerId worker,
                                                const protocol::Hello& hello) const;
    [[nodiscard]] std::string other_input(const protocol::Hello& hello) const;
    [[nodiscard]] std::string shared_device(protocol::WorkerId worker,
                                            const std::string& uuid) const;
    [[nodiscard]] std::string other_numerics(const protocol::Hello& hello) const;

    Requirements required_;
    NumericsVote vote_;
    std::map<protocol::WorkerId, protocol::Hello> heard_;  ///< and not judged yet
    std::optional<Clock::time_point> first_word_;          ///< of those
    std::map<protocol::WorkerId, std::string> devices_;    ///< UUIDs, of the admitted on devices
};

}  // namespace longrope::coordinator
