// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace longrope::tests {

/// What another implementation computed with one factor vector, as tests/fixtures/parity/README.md
/// describes it.
struct RecordedMethod {
    std::string name;
    std::vector<double> factors;
    double attention_scale = 1.0;
    std::uint32_t start_tokens = 0;
    std::uint64_t positions = 0;
    std::vector<std::vector<float>> token_nll;  ///< [documents][positions - 1]
};

struct RecordedModel {
    std::string name;
    std::filesystem::path model;
    std::filesystem::path documents;
    std::vector<RecordedMethod> methods;
};

/// All fixtures of the repository.
[[nodiscard]] std::vector<RecordedModel> recorded_models();

}  // namespace longrope::tests
