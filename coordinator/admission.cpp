// SPDX-License-Identifier: Apache-2.0
#include "coordinator/admission.hpp"

#include <fmt/format.h>

#include <utility>

namespace longrope::coordinator {

Admission::Admission(Requirements requirements, std::span<const protocol::WorkerId> workers)
    : required_{std::move(requirements)}, vote_{workers} {}

void Admission::require_model(std::string digest) {
    required_.model_digest = std::move(digest);
}

void Admission::on_restart() {
    devices_.clear();
}

void Admission::hear(protocol::WorkerId worker, protocol::Hello hello, Clock::time_point now) {
    if (other_input(hello).empty()) {
        vote_.hear(worker, hello.numerics_class);
    } else {
        vote_.leave_out(worker);
    }
    heard_[worker] = std::move(hello);
    if (!first_word_) first_word_ = now;
}

std::vector<Judgement> Admission::judge(Clock::time_point now) {
    std::vector<Judgement> judged;
    if (heard_.empty()) {
        first_word_.reset();  // whoever spoke is gone
        return judged;
    }
    if (required_.numerics_class.empty()) {
        const bool waits = now - *first_word_ < patience && !required_.allow_mixed_numerics;
        required_.numerics_class = (waits ? vote_.decided() : vote_.leading()).value_or("");
    }
    const bool open = required_.numerics_class.empty();
    for (auto entry = heard_.begin(); entry != heard_.end();) {
        const auto& [worker, hello] = *entry;
        if (open && other_input(hello).empty()) {  // as good as the class that will be chosen
            ++entry;
            continue;
        }
        Judgement judgement{worker, hello, refuse(worker, hello)};
        if (!judgement.refusal) {
            devices_.erase(worker);  // its evaluator before this one may have had another device
            if (!hello.device_uuid.empty()) devices_.emplace(worker, hello.device_uuid);
        }
        judged.push_back(std::move(judgement));
        entry = heard_.erase(entry);
    }
    if (heard_.empty()) first_word_.reset();
    return judged;
}

void Admission::release(protocol::WorkerId worker) {
    devices_.erase(worker);
    on_failed_start(worker);
}

void Admission::on_failed_start(protocol::WorkerId worker) {
    heard_.erase(worker);
    vote_.leave_out(worker);
}

std::optional<Refusal> Admission::refuse(protocol::WorkerId worker,
                                         const protocol::Hello& hello) const {
    Refusal refusal;
    refusal.reason = other_input(hello);
    if (refusal.reason.empty()) refusal.reason = shared_device(worker, hello.device_uuid);
    if (refusal.reason.empty()) {
        refusal.reason = other_numerics(hello);
        refusal.of_numerics = !refusal.reason.empty();
    }
    if (refusal.reason.empty()) return std::nullopt;
    refusal.line =
        fmt::format("worker {} on {} is refused: {}", worker, hello.host, refusal.reason);
    return refusal;
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
    if (required_.allow_mixed_numerics || hello.numerics_class == required_.numerics_class) {
        return "";
    }
    return fmt::format("it computes as \"{}\", the {} was begun as \"{}\"", hello.numerics_class,
                       required_.result, required_.numerics_class);
}

}  // namespace longrope::coordinator
