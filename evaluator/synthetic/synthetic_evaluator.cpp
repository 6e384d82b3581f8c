// SPDX-License-Identifier: Apache-2.0
#include "evaluator/synthetic/synthetic_evaluator.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <csignal>
#include <limits>
#include <thread>
#include <utility>

#include "evaluator/synthetic/content_hash.hpp"

namespace longrope::evaluator {

namespace {

// Raised when the arithmetic of the landscape changes.
constexpr int landscape_revision = 1;
constexpr double longest_duration_ms = 86'400'000.0;  // a day

void check_duration(const SyntheticSettings& settings) {
    if (!(settings.duration_ms >= 0.0 && settings.duration_ms <= longest_duration_ms)) {
        throw EvaluatorError{
            fmt::format("evaluator.synthetic.duration_ms = {}, expected 0 to {} milliseconds",
                        settings.duration_ms, longest_duration_ms)};
    }
    if (!(settings.duration_spread >= 0.0 && settings.duration_spread <= 1.0)) {
        throw EvaluatorError{fmt::format(
            "evaluator.synthetic.duration_spread = {}, expected 0 to 1", settings.duration_spread)};
    }
}

}  // namespace

SyntheticEvaluator::SyntheticEvaluator(const SyntheticSettings& settings, Sleep sleep)
    : settings_{settings}, sleep_{std::move(sleep)}, landscape_{settings}, faults_{settings} {
    check_duration(settings);
    if (faults_.fault() == Fault::start) {
        throw EvaluatorError{"synthetic fault: start, the evaluator refuses to begin"};
    }
    identity_.model_digest = landscape_.model_digest();
    identity_.documents_digest = landscape_.documents_digest();
    identity_.numerics_class = fmt::format("synthetic {}", landscape_revision);
    identity_.device_name = "synthetic";
}

EvaluationResult SyntheticEvaluator::evaluate(const EvaluationRequest& request) {
    double mean = landscape_.mean_nll(request);
    const Fault fault = faults_.next(request);
    if (fault == Fault::crash) std::raise(SIGKILL);
    while (fault == Fault::hang) sleep_(std::chrono::hours{1});
    sleep_(duration(request));
    if (fault == Fault::garbage) throw SyntheticGarbage{};
    if (fault == Fault::error) {
        throw EvaluatorError{"synthetic fault: error, no task succeeds in this process any more"};
    }
    if (fault == Fault::not_finite) mean = std::numeric_limits<double>::quiet_NaN();

    EvaluationResult result;
    result.scored_tokens = scored_tokens(request);
    result.sum_nll = mean * static_cast<double>(result.scored_tokens);
    if (request.per_token) {
        result.token_nll.assign(static_cast<std::size_t>(result.scored_tokens),
                                static_cast<float>(mean));
    }
    return result;
}

std::chrono::nanoseconds SyntheticEvaluator::duration(const EvaluationRequest& request) const {
    const double uniform = ContentHash{}
                               .add("duration")
                               .add(request.factors)
                               .add(request.start_tokens)
                               .add(std::array{request.attention_scale})
                               .add(request.positions)
                               .add(request.document)
                               .unit();
    const double milliseconds =
        settings_.duration_ms * (1.0 + settings_.duration_spread * (2.0 * uniform - 1.0));
    return std::chrono::nanoseconds{std::llround(milliseconds * 1e6)};
}

void SyntheticEvaluator::sleep_for_real(std::chrono::nanoseconds duration) {
    if (duration > std::chrono::nanoseconds::zero()) std::this_thread::sleep_for(duration);
}

}  // namespace longrope::evaluator
