// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "evaluator/cpu/aligned_bytes.hpp"
#include "evaluator/cpu/kernels/kernel_set.hpp"
#include "evaluator/device_ops.hpp"

namespace longrope::evaluator::cpu {

/// Keys and values of one layer, packed head by head as the attention kernel reads them.
class PackedLayer {
public:
    /// Makes room for `positions`; contents are undefined until packed.
    void reset(const AttentionShape& shape, std::int64_t positions, const KernelSet& kernels);

    [[nodiscard]] const AttentionShape& shape() const noexcept { return shape_; }
    [[nodiscard]] PackedHead head(std::int64_t kv_head) const noexcept;
    /// Bytes of one layer.
    [[nodiscard]] static std::int64_t bytes(const AttentionShape& shape, std::int64_t positions,
                                            const KernelSet& kernels) noexcept;

private:
    struct Layout {
        std::int64_t keys = 0;         // bytes of a head's keys
        std::int64_t value_panel = 0;  // elements of one of a head's value panels
        std::int64_t head = 0;         // bytes of a head
        friend bool operator==(const Layout&, const Layout&) = default;
    };
    [[nodiscard]] static Layout layout_of(const AttentionShape& shape, std::int64_t positions,
                                          const KernelSet& kernels) noexcept;

    AttentionShape shape_;
    Layout layout_;
    AlignedBytes memory_;
};

}  // namespace longrope::evaluator::cpu
