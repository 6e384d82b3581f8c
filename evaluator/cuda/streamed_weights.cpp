// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/streamed_weights.hpp"

#include <fmt/format.h>

#include <limits>

#include "evaluator/evaluator.hpp"

namespace longrope::evaluator::cuda {
namespace {

constexpr std::size_t no_layer = std::numeric_limits<std::size_t>::max();

}  // namespace

StreamedWeights::Buffer::Buffer(DeviceRuntime& runtime, std::uint64_t bytes)
    : memory{runtime, bytes, "weights of a layer on their way"},
      arrived{runtime},
      used{runtime},
      layer{no_layer} {}

StreamedWeights::StreamedWeights(DeviceRuntime& runtime, std::uint64_t layer_bytes)
    : runtime_{runtime},
      layer_bytes_{layer_bytes},
      buffers_{Buffer{runtime, layer_bytes}, Buffer{runtime, layer_bytes}} {}

StreamedWeights::~StreamedWeights() {
    try {
        runtime_.synchronize(runtime_.copy_stream());
    } catch (const EvaluatorError&) {  // the device is lost, and with it whatever it read
    }
}

std::pair<StreamedWeights::Place, std::span<std::byte>> StreamedWeights::add(std::uint64_t bytes) {
    const std::uint64_t taken = (bytes + 255) / 256 * 256;
    if (taken > layer_bytes_) {
        throw EvaluatorError{
            fmt::format("a matrix of {} bytes does not fit the {} bytes planned for a layer", bytes,
                        layer_bytes_)};
    }
    if (layers_.empty() || filled_ + taken > layer_bytes_) {
        layers_.emplace_back(runtime_, layer_bytes_, "weights of a layer");
        filled_ = 0;
    }
    const Place place{layers_.size() - 1, filled_};
    filled_ += taken;
    return {place, {layers_.back().data() + place.offset, bytes}};
}

const std::byte* StreamedWeights::on_device(const Place& place) {
    if (buffers_[current_].layer != place.layer) {
        // Whatever was given to the compute stream so far reads the buffer that we leave.
        runtime_.record(buffers_[current_].used.get(), runtime_.compute_stream());
        Buffer& next = buffers_[1 - current_];
        Buffer& left = buffers_[current_];
        if (next.layer != place.layer) fetch(next, place.layer);
        runtime_.wait(runtime_.compute_stream(), next.arrived.get());
        current_ = 1 - current_;
        fetch(left, (place.layer + 1) % layers_.size());
    }
    return buffers_[current_].memory.data() + place.offset;
}

void StreamedWeights::fetch(Buffer& buffer, std::size_t layer) {
    runtime_.wait(runtime_.copy_stream(), buffer.used.get());
    runtime_.copy_to_device(buffer.memory.data(), layers_[layer].data(), layer_bytes_,
                            runtime_.copy_stream());
    runtime_.record(buffer.arrived.get(), runtime_.copy_stream());
    buffer.layer = layer;
}

}  // namespace longrope::evaluator::cuda
