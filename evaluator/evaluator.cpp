// SPDX-License-Identifier: Apache-2.0
#include "evaluator/evaluator.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "evaluator/synthetic/synthetic_evaluator.hpp"
#include "evaluator/transformer_evaluator.hpp"

namespace longrope::evaluator {

namespace {

void require_one_of(const char* setting, const std::string& found,
                    const std::vector<std::string_view>& accepted) {
    if (std::ranges::find(accepted, found) != accepted.end()) return;
    throw EvaluatorError{fmt::format("evaluator.{} = \"{}\", expected one of {}", setting, found,
                                     fmt::join(accepted, ", "))};
}

}  // namespace

std::uint64_t scored_tokens(const EvaluationRequest& request) {
    if (request.positions < 2) {
        throw EvaluatorError{fmt::format(
            "{} positions, expected at least 2: the first is not scored", request.positions)};
    }
    if (request.scored == 0) return request.positions - 1;
    if (request.scored < request.positions) return request.scored;
    throw EvaluatorError{
        fmt::format("{} tokens of {} positions are to be scored, expected at most "
                    "{}: the first has none before it",
                    request.scored, request.positions, request.positions - 1)};
}

std::unique_ptr<Evaluator> make_evaluator(const EvaluatorSettings& settings) {
    require_one_of("backend", settings.backend, {"auto", "cuda", "cpu", "reference", "synthetic"});
    require_one_of("precision", settings.precision, {"f32", "bf16"});
    require_one_of("isa", settings.isa, {"auto", "baseline", "avx2", "avx512"});
    require_one_of("angles", settings.angles, {"double", "float32"});
    require_one_of("weights", settings.weights, {"resident", "streamed"});
    if (settings.threads == 0) {
        throw EvaluatorError{"evaluator.threads = 0, expected the number of threads, at least 1"};
    }
    if (settings.backend == "synthetic") {
        SyntheticSettings synthetic = settings.synthetic;
        if (!settings.model_path.empty())
            synthetic.variant = synthetic_variant(settings.model_path);
        return std::make_unique<SyntheticEvaluator>(synthetic);
    }
    return make_transformer_evaluator(settings);
}

}  // namespace longrope::evaluator
