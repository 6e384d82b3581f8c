// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cpu/packed_layer.hpp"

namespace longrope::evaluator::cpu {

PackedLayer::Layout PackedLayer::layout_of(const AttentionShape& shape, std::int64_t positions,
                                           const KernelSet& kernels) noexcept {
    const auto panels = [](std::int64_t count, std::int64_t panel) {
        return (count + panel - 1) / panel;
    };
    const auto lines = [&panels](std::int64_t bytes) { return panels(bytes, 64) * 64; };
    Layout layout;
    const std::int64_t keys = panels(positions, kernels.key_panel) * kernels.key_panel;
    layout.keys = lines(keys * shape.head_dim * kernels.element_bytes);
    layout.value_panel = panels(positions, kernels.depth) * kernels.depth * kernels.value_panel;
    layout.head = layout.keys + lines(panels(shape.head_dim, kernels.value_panel) *
                                      layout.value_panel * kernels.element_bytes);
    return layout;
}

std::int64_t PackedLayer::bytes(const AttentionShape& shape, std::int64_t positions,
                                const KernelSet& kernels) noexcept {
    return layout_of(shape, positions, kernels).head * shape.kv_heads;
}

void PackedLayer::reset(const AttentionShape& shape, std::int64_t positions,
                        const KernelSet& kernels) {
    const Layout layout = layout_of(shape, positions, kernels);
    // The padding components of the values must be zero, and stay so while the layout stays.
    if (layout != layout_ || shape.kv_heads != shape_.kv_heads ||
        shape.head_dim != shape_.head_dim) {
        memory_ = AlignedBytes{};  // before the new one: never both
        memory_ = AlignedBytes{static_cast<std::size_t>(layout.head * shape.kv_heads)};
    }
    layout_ = layout;
    shape_ = shape;
}

PackedHead PackedLayer::head(std::int64_t kv_head) const noexcept {
    std::byte* base = memory_.data() + kv_head * layout_.head;
    return {base, base + layout_.keys, layout_.value_panel};
}

}  // namespace longrope::evaluator::cpu
