// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "evaluator/cuda/device_runtime.hpp"

namespace longrope::evaluator::cuda {

/// Weights that do not fit on the device: all in page-locked host memory, two layers' worth on the
/// device. While the layer in one buffer computes, the next one comes into the other.
///
/// It knows no layers, only the order in which matrices were added and the bytes of a layer: what
/// was added one after the other until a layer was full travels together. Any order of use is
/// right; the order of adding, again and again, is the one that never waits for more than the first
/// layer.
class StreamedWeights {
public:
    /// Where a matrix lies.
    struct Place {
        std::size_t layer = 0;
        std::uint64_t offset = 0;  ///< bytes from the layer's begin, a multiple of 256
    };

    /// @param layer_bytes  of one layer with every matrix rounded up to 256 bytes
    StreamedWeights(DeviceRuntime& runtime, std::uint64_t layer_bytes);
    StreamedWeights(const StreamedWeights&) = delete;
    StreamedWeights& operator=(const StreamedWeights&) = delete;
    ~StreamedWeights();  ///< waits for copies that read the host memory

    /// Host memory for one matrix more, to be filled before its first use.
    /// @throws EvaluatorError if the matrix alone is larger than a layer
    [[nodiscard]] std::pair<Place, std::span<std::byte>> add(std::uint64_t bytes);

    /// The matrix on the device, for work that is given to the compute stream before the next call.
    [[nodiscard]] const std::byte* on_device(const Place& place);

private:
    struct Buffer {
        explicit Buffer(DeviceRuntime& runtime, std::uint64_t bytes);
        DeviceAllocation memory;
        DeviceEvent arrived;  // recorded on the copy stream
        DeviceEvent used;     // recorded on the compute stream, when work moves to the other buffer
        std::size_t layer;
    };

    void fetch(Buffer& buffer, std::size_t layer);

    DeviceRuntime& runtime_;
    std::uint64_t layer_bytes_;
    std::vector<PinnedAllocation> layers_;
    std::uint64_t filled_ = 0;  // bytes of the last layer
    std::array<Buffer, 2> buffers_;
    std::size_t current_ = 0;  // buffer that computes
};

}  // namespace longrope::evaluator::cuda
