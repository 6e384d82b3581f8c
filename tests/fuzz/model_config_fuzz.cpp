// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <filesystem>

#include "evaluator/evaluator.hpp"
#include "evaluator/model/model_config.hpp"
#include "evaluator/model/rope_scaling.hpp"
#include "tests/evaluator/temporary_folder.hpp"
#include "tests/fuzz/fuzz_targets.hpp"
#include "tests/fuzz/memory_file.hpp"

namespace longrope::fuzz {
namespace {

/// A model folder whose config.json is a file in memory.
class Folder {
public:
    Folder() { std::filesystem::create_symlink(config.path(), folder_.path() / "config.json"); }
    [[nodiscard]] const std::filesystem::path& path() const noexcept { return folder_.path(); }

    const MemoryFile config;

private:
    tests::TemporaryFolder folder_;
};

void check_shape(const evaluator::ModelConfig& config) {
    require(config.heads > 0 && config.kv_heads > 0 && config.heads % config.kv_heads == 0,
            "each key serves as many queries");
    require(config.rotary_dim >= 2 && config.rotary_dim % 2 == 0, "rotation goes by pairs");
    require(config.rotary_dim <= config.head_dim, "no more is rotated than a head has");
    require(std::isfinite(config.rope_theta) && config.rope_theta > 1.0, "theta is above 1");
    require(config.original_window() > 0, "a model has a window");
}

void check_rotation(const evaluator::ScaledRotation& rotation,
                    const evaluator::ModelConfig& config) {
    require(rotation.factors.size() == config.rotary_pairs(), "each pair has its factor");
    for (const double factor : rotation.factors) {
        require(std::isfinite(factor) && factor > 0.0, "factors are finite and above 0");
    }
    require(std::isfinite(rotation.attention_scale) && rotation.attention_scale > 0.0,
            "the attention scale is finite and above 0");
}

}  // namespace

int fuzz_model_config(const std::uint8_t* data, std::size_t size) {
    static const Folder folder;
    folder.config.write(data, size);
    try {
        const evaluator::ModelConfig config = evaluator::read_model_config(folder.path());
        check_shape(config);
        const evaluator::RopeScaling scaling = evaluator::read_rope_scaling(folder.path(), config);
        for (const std::uint64_t positions : {1ULL, 256ULL, 8192ULL, 1ULL << 21U, 1ULL << 31U}) {
            check_rotation(evaluator::scaled_rotation(scaling, config, positions), config);
        }
    } catch (const evaluator::EvaluatorError&) {
        return 0;
    }
    return 0;
}

}  // namespace longrope::fuzz
