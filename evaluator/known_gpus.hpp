// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace longrope::evaluator {

/// What a GPU that is not there can be planned with.
struct GpuModel {
    std::string_view name;           ///< as given on a command line, "h100-80gb"
    std::string_view product;        ///< as the manufacturer calls it
    std::uint64_t memory_bytes = 0;  ///< that a program can use when nothing else runs there
    double peak_flops = 0.0;         ///< dense bfloat16 matrix products, FLOP/s
};

/// In order of name. Peaks and memory: the manufacturer's data sheets, SXM modules where there are
/// several; memory without what driver and error correction keep.
[[nodiscard]] std::span<const GpuModel> known_gpus() noexcept;

/// Null if there is none of this name.
[[nodiscard]] const GpuModel* find_known_gpu(std::string_view name) noexcept;

/// What products and attention are assumed to reach of the peak, from slow to fast. An assumption
/// for planning: no such GPU has been measured with this program.
inline constexpr double assumed_lowest_share = 0.5;
inline constexpr double assumed_highest_share = 0.7;

}  // namespace longrope::evaluator
