// SPDX-License-Identifier: Apache-2.0
#include "cli/gpu_devices.hpp"

#include <algorithm>

#include "evaluator/cuda/backend_choice.hpp"
#include "evaluator/cuda/module_loader.hpp"
#include "evaluator/evaluator.hpp"

namespace longrope::cli {
namespace {

namespace cuda = evaluator::cuda;

/// Asking CUDA takes device memory for its context, so that the driver is asked first.
std::optional<std::uint64_t> free_bytes_of(cuda::CudaModule& module, int index) {
    try {
        return module.free_bytes(index);
    } catch (const evaluator::EvaluatorError&) {
        return std::nullopt;  // held exclusively by another process, for example
    }
}

void add_management(GpuDevice& device, const cuda::ManagedDevice& managed) {
    device.free_bytes = managed.total_bytes - std::min(managed.used_bytes, managed.total_bytes);
    device.holders = managed.holders;
    device.strangers = cuda::describe_strangers(managed);
}

}  // namespace

GpuDevices gpu_devices() {
    GpuDevices result;
    const cuda::ManagedDevices managed = cuda::list_managed_devices();
    const cuda::LoadedModule loaded = cuda::load_backend();
    result.reason = loaded.reason;
    if (loaded.module != nullptr) {
        const cuda::ProbeResult probe = loaded.module->probe();
        result.reason = cuda::choose_backend(probe, "bf16", 0).reason;
        result.runtime_version = probe.runtime_version;
        result.driver_version = probe.driver_version;
        for (std::size_t i = 0; i < probe.devices.size(); ++i) {
            const cuda::DeviceFacts& facts = probe.devices[i];
            GpuDevice device{.index = static_cast<int>(i),
                             .name = facts.name,
                             .uuid = facts.uuid,
                             .architecture = facts.architecture,
                             .memory_bytes = facts.total_bytes};
            const auto known =
                std::ranges::find(managed.devices, facts.uuid, &cuda::ManagedDevice::uuid);
            if (known != managed.devices.end()) {
                add_management(device, *known);
            } else {
                device.free_bytes = free_bytes_of(*loaded.module, *device.index);
            }
            result.devices.push_back(std::move(device));
        }
    }
    for (const cuda::ManagedDevice& other : managed.devices) {
        if (std::ranges::find(result.devices, other.uuid, &GpuDevice::uuid) !=
            result.devices.end()) {
            continue;
        }
        GpuDevice device{.name = other.name, .uuid = other.uuid, .memory_bytes = other.total_bytes};
        add_management(device, other);
        result.devices.push_back(std::move(device));
    }
    return result;
}

}  // namespace longrope::cli
