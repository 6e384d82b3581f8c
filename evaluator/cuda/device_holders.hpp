// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace longrope::evaluator::cuda {

/// A process with memory on a device.
struct DeviceHolder {
    std::int64_t pid = 0;
    std::string program;      ///< name, where the system says it
    std::uint64_t bytes = 0;  ///< 0: the driver does not say
};

/// A device as the driver's management library sees it: all of the machine's, whatever CUDA shows.
struct ManagedDevice {
    std::string name;
    std::string uuid;  ///< "GPU-…"
    std::uint64_t total_bytes = 0;
    std::uint64_t used_bytes = 0;       ///< by anybody, the driver included
    std::vector<DeviceHolder> holders;  ///< empty where the driver hides them, as in containers
};

/// What NVML says of this machine.
struct ManagedDevices {
    std::vector<ManagedDevice> devices;
    std::string reason;  ///< why it says nothing; empty where it does
};

/// Asks libnvidia-ml.so.1, which comes with the driver; takes no device memory.
[[nodiscard]] ManagedDevices list_managed_devices();

/// "12884901888 bytes held by pid 4711 (python3)", the holders but this process joined by ", ".
/// Where the driver names none but more is in use than an idle device and this process take,
/// "68719476736 bytes in use by what the driver does not name". Else empty.
[[nodiscard]] std::string describe_strangers(const ManagedDevice& device);

/// The same for the device of that UUID; empty too where NVML does not know it.
[[nodiscard]] std::string describe_strangers_on(const std::string& uuid);

}  // namespace longrope::evaluator::cuda
