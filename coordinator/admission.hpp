// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "worker/protocol/messages.hpp"
#include "worker/protocol/transport.hpp"

namespace longrope::coordinator {

/// What all workers must have and be, for their scores to go into one result.
struct Requirements {
    std::string result = "history";  ///< what the scores go into, as messages call it
    std::string model_digest;
    std::string documents_digest;
    std::string build;
    std::string numerics_class;  ///< empty: that of the first worker that is admitted
    bool allow_mixed_numerics = false;
};

/// Why a worker may not compute.
struct Refusal {
    std::string reason;
    std::string line;          ///< the same for a log, with the worker and its host
    bool of_numerics = false;  ///< nothing but its numerics class is wrong
};

/// Decides by what workers say of themselves which of them may compute. Two evaluators on one GPU
/// slow each other down, so that a device is for one worker.
class Admission {
public:
    explicit Admission(Requirements requirements);

    /// The weights of the next stage; what a worker said before does not count for it.
    void require_model(std::string digest);
    /// @returns  nothing if the worker is admitted, which gives it its device
    [[nodiscard]] std::optional<Refusal> judge(protocol::WorkerId worker,
                                               const protocol::Hello& hello);
    /// The worker is gone: its device is free.
    void release(protocol::WorkerId worker);

    /// Of what is computed; empty before the first worker is admitted to something new.
    [[nodiscard]] const std::string& numerics_class() const noexcept {
        return required_.numerics_class;
    }

private:
    [[nodiscard]] std::string other_input(const protocol::Hello& hello) const;
    [[nodiscard]] std::string shared_device(protocol::WorkerId worker,
                                            const std::string& uuid) const;
    [[nodiscard]] std::string other_numerics(const protocol::Hello& hello) const;

    Requirements required_;
    std::map<protocol::WorkerId, std::string> devices_;  ///< UUIDs, of the admitted on devices
};

}  // namespace longrope::coordinator
