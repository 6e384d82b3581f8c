// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "evaluator/cuda/device_runtime.hpp"
#include "evaluator/device_ops.hpp"
#include "evaluator/model/model_config.hpp"

namespace longrope::evaluator::cuda {

/// What CUDA shows this process.
struct ProbeResult {
    std::vector<DeviceFacts> devices;  ///< in CUDA's order, after CUDA_VISIBLE_DEVICES
    std::string reason;                ///< why there are none; empty where there are
    int driver_version = 0;            ///< highest CUDA of the driver, 13010 for 13.1; 0: no driver
    int runtime_version = 0;           ///< CUDA that the module was built with
};

/// What a backend is opened for.
struct OpenRequest {
    int device = 0;             ///< among ProbeResult::devices
    ModelConfig model;          ///< sizes, for the memory plan
    std::uint64_t longest = 0;  ///< positions of the longest document that will be evaluated
    /// Bytes of the device that are planned with, at most; 0: all that nobody else holds. Decides
    /// whether weights are resident, and no bits.
    std::uint64_t memory_limit = 0;
};

/// A device ready for use, and how its results are named.
struct OpenedDevice {
    std::unique_ptr<DeviceOps> ops;
    DeviceFacts facts;
    std::string numerics;  ///< numerics_class() of cuda_ops.hpp
};

/// liblongrope_cuda.so as the program sees it. Errors: EvaluatorError. Program and module are built
/// together by one compiler, so that C++ passes between them; interface_digest tells a module of
/// another build.
class CudaModule {
public:
    CudaModule() = default;
    CudaModule(const CudaModule&) = delete;
    CudaModule& operator=(const CudaModule&) = delete;
    virtual ~CudaModule() = default;

    /// Looks at the devices without touching their memory; never throws for want of one.
    [[nodiscard]] virtual ProbeResult probe() = 0;
    /// Bytes that nobody has taken on a device. Takes some itself: CUDA's context.
    [[nodiscard]] virtual std::uint64_t free_bytes(int device) = 0;
    /// Plans the memory, refuses what does not fit, and opens the device.
    [[nodiscard]] virtual OpenedDevice open(const OpenRequest& request) = 0;
};

/// The module's two exported symbols, by name and type.
inline constexpr const char* digest_symbol = "longrope_cuda_interface_digest";
inline constexpr const char* module_symbol = "longrope_cuda_module";
using DigestFunction = const char* (*)();
using ModuleFunction = CudaModule* (*)();

}  // namespace longrope::evaluator::cuda
