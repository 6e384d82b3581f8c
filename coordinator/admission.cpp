// SPDX-License-Identifier: Apache-2.0
#include "coordinator/admission.hpp"

#include <fmt/format.h>

#include <utility>

namespace longrope::coordinator {

Admission::Admission(Requirements requirements) : required_{std::move(requirements)} {}

void Admission::require_model(std::string digest) {
    required_.model_digest = std::move(digest);
}

std::optional<Refusal> Admission::judge(protocol::WorkerId worker, const protocol::Hello& hello) {
    Refusal refusal;
    refusal.reason = other_input(hello);
    if (refusal.reason.empty()) refusal.reason = shared_device(worker, hello.device_uuid);
    if (refusal.reason.empty()) {
        refusal.reason = other_numerics(hello);
        refusal.of_numerics = !refusal.reason.empty();
    }
    if (!refusal.reason.empty()) {
        refusal.line =
            fmt::format("worker {} on {} is refused: {}", worker, hello.host, refusal.reason);
        return refusal;
    }
    if (required_.numerics_class.empty()) required_.numerics_class = hello.numerics_class;
    release(worker);  // its evaluator before this one may have had another device
    if (!hello.device_uuid.empty()) devices_.emplace(worker, hello.device_uuid);
    return std::nullopt;
}

void Admission::release(protocol::WorkerId worker) {
    devices_.erase(worker);
}

std::string Admission::other_input(const protocol::Hello& hello) const {
    if (hello.model_digest != required_.model_digest) {
        return fmt::format("its model has digest {}, the coordinator's {}", hello.model_digest,
                           required_.model_digest);
    }
    if (hello.documents_digest != required_.documents_digest) {
        return fmt::format("its documents have digest {}, the coordinator's {}",
                           hello.documents_digest, required_.documents_digest);
    }
    if (hello.build != required_.build) {
        return fmt::format("it runs build {}, the coordinator {}", hello.build, required_.build);
    }
    return "";
}

std::string Admission::shared_device(protocol::WorkerId worker, const std::string& uuid) const {
    for (const auto& [other, device] : devices_) {
        if (other == worker || device != uuid) continue;
        return fmt::format("worker {} has the same device {} already", other, uuid);
    }
    return "";
}

std::string Admission::other_numerics(const protocol::Hello& hello) const {
    if (required_.numerics_class.empty() || required_.allow_mixed_numerics ||
        hello.numerics_class == required_.numerics_class) {
        return "";
    }
    return fmt::format("it computes as \"{}\", the {} was begun as \"{}\"", hello.numerics_class,
                       required_.result, required_.numerics_class);
}

}  // namespace longrope::coordinator
