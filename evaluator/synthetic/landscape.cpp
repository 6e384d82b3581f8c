// SPDX-License-Identifier: Apache-2.0
#include "evaluator/synthetic/landscape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <numbers>

#include "evaluator/digest.hpp"
#include "evaluator/synthetic/content_hash.hpp"

namespace longrope::evaluator {

namespace {

// Chosen so that the figures resemble those of a 1.4 M parameter model: without rescaling an 8x
// extension costs about 0.8 nats, YaRN's factors about 0.02.
constexpr double easiest_document = 3.55;    // nats
constexpr double spread_of_documents = 0.4;  // nats
constexpr double mean_curvature = 0.35;      // nats per squared ln lambda, averaged over the pairs
constexpr double attention_curvature = 2.0;  // nats per squared ln m
constexpr double start_curvature = 2e-4;     // nats per squared ln n-hat
constexpr double best_start_tokens = 4.0;
constexpr double overshoot = 0.08;       // ln lambda* ends this much above ln s
constexpr double document_shift = 0.25;  // pairs by which a document moves the rise, at most
constexpr double variant_gain = 0.2;     // nats by which tuned weights are better, at most
constexpr double rise_width = 0.07;      // of the rise, as a share of the pairs

void require(bool accepted, const char* name, double found, const char* expected) {
    if (accepted) return;
    throw EvaluatorError{
        fmt::format("evaluator.synthetic.{} = {}, expected {}", name, found, expected)};
}

double mean_magnitude_of_logarithms(const std::vector<double>& factors) {
    double sum = 0.0;
    for (const double factor : factors) sum += std::abs(std::log(factor));
    return sum / static_cast<double>(factors.size());
}

}  // namespace

Landscape::Landscape(const SyntheticSettings& settings) : settings_{settings} {
    require(settings.dimensions >= 1 && settings.dimensions <= 4096, "dimensions",
            settings.dimensions, "1 to 4096");
    require(std::isfinite(settings.theta) && settings.theta > 1.0, "theta", settings.theta,
            "a number above 1");
    require(settings.original_window >= 8, "original_window", settings.original_window,
            "at least 8 tokens");
    require(settings.documents >= 1 && settings.documents <= 1'000'000, "documents",
            settings.documents, "1 to 1000000");

    if (!settings.variant.empty()) {
        const ContentHash hash = ContentHash{}.add("variant").add(settings.variant);
        variant_shift_ = document_shift * (2.0 * hash.unit() - 1.0);
        variant_gain_ = variant_gain * hash.unit();
    }
    // YaRN's correction dimension at one rotation per window, in pairs.
    const double pairs = settings.dimensions;
    critical_pair_ = pairs * std::log(settings.original_window / (2.0 * std::numbers::pi)) /
                     std::log(settings.theta);
    double total = 0.0;
    for (std::uint32_t pair = 0; pair < settings.dimensions; ++pair) {
        // Most sensitive around the critical pair, never flat.
        const double distance = (pair - critical_pair_) / (0.25 * pairs);
        curvatures_.push_back(0.3 + std::exp(-distance * distance));
        total += curvatures_.back();
    }
    for (double& curvature : curvatures_) curvature *= mean_curvature / total;
}

std::uint32_t Landscape::documents() const noexcept {
    return 3 * settings_.documents;
}

std::vector<double> Landscape::optimum(std::uint32_t document, std::uint64_t positions) const {
    check_document(document);
    const double stretch = std::max(
        1.0, static_cast<double>(positions) / static_cast<double>(settings_.original_window));
    const double shift =
        document_shift * (2.0 * ContentHash{}.add("shift").add(document).unit() - 1.0) +
        variant_shift_;
    const double pairs = settings_.dimensions;
    const double height = std::log(stretch) + overshoot * std::min(1.0, std::log(stretch));
    // The rise ends a little after the critical pair, as YaRN's ramp does.
    const double middle = critical_pair_ - 0.15 * pairs + shift;
    std::vector<double> factors;
    for (std::uint32_t pair = 0; pair < settings_.dimensions; ++pair) {
        const double rise = 1.0 / (1.0 + std::exp((middle - pair) / (rise_width * pairs)));
        // Squared, so that the highest frequencies stay as they are.
        factors.push_back(std::exp(height * rise * rise));
    }
    return factors;
}

double Landscape::optimal_attention_scale(double stretch) const {
    if (stretch <= 1.0) return 1.0;
    // "su": LongRoPE's sqrt(1 + ln s / ln L).
    return std::sqrt(1.0 + std::log(stretch) / std::log(settings_.original_window));
}

double Landscape::mean_nll(const EvaluationRequest& request) const {
    check(request);
    const double stretch =
        static_cast<double>(request.positions) / static_cast<double>(settings_.original_window);
    const bool nothing_rescaled =
        request.start_tokens >= request.positions ||
        std::ranges::all_of(request.factors, [](double factor) { return factor == 1.0; });

    double nll = easiest_document - variant_gain_ +
                 spread_of_documents * ContentHash{}.add("base").add(request.document).unit();
    const std::vector<double> best = optimum(request.document, request.positions);
    for (std::size_t pair = 0; pair < best.size(); ++pair) {
        const double distance =
            std::log(nothing_rescaled ? 1.0 : request.factors[pair]) - std::log(best[pair]);
        nll += curvatures_[pair] * distance * distance;
    }
    const double temperature =
        std::log(request.attention_scale) - std::log(optimal_attention_scale(stretch));
    nll += attention_curvature * temperature * temperature;
    // Position 0 has angle 0 under every factor: keeping one token or none is the same. The more is
    // rescaled, the more it matters.
    const double rescaled = nothing_rescaled ? 0.0 : mean_magnitude_of_logarithms(request.factors);
    const double start =
        std::log(std::max(1.0, static_cast<double>(request.start_tokens)) / best_start_tokens);
    return nll + start_curvature * rescaled * start * start;
}

void Landscape::check_document(std::uint32_t document) const {
    if (document < documents()) return;
    throw EvaluatorError{fmt::format("synthetic document {} does not exist, expected 0 to {}",
                                     document, documents() - 1)};
}

void Landscape::check(const EvaluationRequest& request) const {
    check_document(request.document);
    if (request.factors.size() != settings_.dimensions) {
        throw EvaluatorError{fmt::format("{} rescale factors, expected {} for the synthetic model",
                                         request.factors.size(), settings_.dimensions)};
    }
    for (std::size_t pair = 0; pair < request.factors.size(); ++pair) {
        const double factor = request.factors[pair];
        if (!std::isfinite(factor) || factor <= 0.0) {
            throw EvaluatorError{fmt::format(
                "rescale factor {} at index {}, expected a finite number above 0", factor, pair)};
        }
    }
    if (!std::isfinite(request.attention_scale) || request.attention_scale <= 0.0) {
        throw EvaluatorError{fmt::format("attention scale {}, expected a finite number above 0",
                                         request.attention_scale)};
    }
    if (request.positions < 2) {
        throw EvaluatorError{fmt::format(
            "{} positions, expected at least 2: the first is not scored", request.positions)};
    }
}

std::string Landscape::model_digest() const {
    Sha256 digest;
    digest.text("longrope synthetic model 1")
        .number(settings_.dimensions)
        .real(settings_.theta)
        .number(settings_.original_window);
    if (!settings_.variant.empty()) digest.text(settings_.variant);
    return digest.hexadecimal();
}

std::string Landscape::documents_digest() const {
    return Sha256{}
        .text("longrope synthetic documents 1")
        .number(settings_.documents)
        .hexadecimal();
}

std::string synthetic_variant(const std::filesystem::path& folder) {
    const std::filesystem::path file = folder / "config.json";
    std::ifstream stream{file, std::ios::binary};
    if (!stream) {
        throw EvaluatorError{
            fmt::format("{}: cannot be read, expected a file whose content names "
                        "the synthetic model's variant",
                        file.string())};
    }
    const std::string text{std::istreambuf_iterator<char>{stream}, {}};
    return Sha256{}.text(text).hexadecimal();
}

}  // namespace longrope::evaluator
