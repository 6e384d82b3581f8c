// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <utility>

#include "evaluator/cuda/cublaslt_products.hpp"
#include "evaluator/cuda/cuda_ops.hpp"
#include "evaluator/cuda/cudnn_attention.hpp"
#include "evaluator/cuda/gpu_runtime.hpp"
#include "evaluator/cuda/module_interface.hpp"

namespace longrope::evaluator::cuda {
namespace {

class Module final : public CudaModule {
public:
    ProbeResult probe() override {
        ProbeResult result = probe_devices();
        if (result.devices.empty()) return result;
        if (std::string absence = cudnn_absence(); !absence.empty()) {
            result.devices.clear();
            result.reason = "cuDNN 9, which attention needs, cannot be loaded: " + absence;
        }
        return result;
    }

    std::uint64_t free_bytes(int device) override { return free_device_bytes(device); }

    OpenedDevice open(const OpenRequest& request) override {
        CudaSettings settings;
        settings.longest_positions = request.longest;
        settings.memory_limit = request.memory_limit;
        CudaDevice device;
        require_served_heads(request.model);
        device.runtime = open_gpu_runtime(request.device);
        device.products = make_cublaslt_products(*device.runtime, settings.tiles.chunk_rows);
        device.attention = make_cudnn_attention(*device.runtime);
        OpenedDevice opened;
        opened.facts = device.runtime->facts();
        opened.numerics = numerics_class(device, settings);
        opened.ops = make_cuda_ops(std::move(device), request.model, settings);
        return opened;
    }
};

}  // namespace
}  // namespace longrope::evaluator::cuda

extern "C" {

__attribute__((visibility("default"))) const char* longrope_cuda_interface_digest() {
    return LONGROPE_CUDA_INTERFACE_DIGEST;
}

__attribute__((visibility("default"))) longrope::evaluator::cuda::CudaModule*
longrope_cuda_module() {
    static longrope::evaluator::cuda::Module module;
    return &module;
}
}
