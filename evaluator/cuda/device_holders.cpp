// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/device_holders.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <system_error>

namespace longrope::evaluator::cuda {
namespace {

// The part of NVML's interface that is used, as its documentation has it; its header comes with no
// package of Debian's main section.
using NvmlDevice = struct nvmlDevice_st*;
constexpr int nvml_success = 0;
constexpr int nvml_insufficient_size = 7;
constexpr unsigned long long not_available = ~0ULL;
/// The kernel's PROC_PID_INIT_INO: that of the host's own processes.
constexpr const char* initial_pid_namespace = "pid:[4026531836]";
struct NvmlMemory {
    unsigned long long total, free, used;
};
struct NvmlProcess {
    unsigned pid;
    unsigned long long used_memory;
    unsigned gpu_instance, compute_instance;
};

struct LibraryCloser {
    void operator()(void* library) const noexcept {
        if (const auto stop = std::bit_cast<int (*)()>(::dlsym(library, "nvmlShutdown"))) stop();
        ::dlclose(library);
    }
};

class Nvml {
public:
    /// @returns nothing, with `reason` set, if the library is not there or does not start
    static std::optional<Nvml> open(std::string& reason) {
        std::unique_ptr<void, LibraryCloser> library{::dlopen("libnvidia-ml.so.1", RTLD_NOW)};
        if (!library) {
            const char* const error = ::dlerror();
            reason = error != nullptr ? error : "libnvidia-ml.so.1 cannot be loaded";
            return std::nullopt;
        }
        Nvml nvml{std::move(library)};
        const auto start = nvml.find<int()>("nvmlInit_v2");
        const int status = start != nullptr ? start() : -1;
        if (status != nvml_success) {
            reason = fmt::format("the driver's management library does not start (NVML error {})",
                                 status);
            return std::nullopt;
        }
        return nvml;
    }

    [[nodiscard]] std::vector<ManagedDevice> devices() const {
        std::vector<ManagedDevice> result;
        const auto count_devices = find<int(unsigned*)>("nvmlDeviceGetCount_v2");
        const auto handle_of = find<int(unsigned, NvmlDevice*)>("nvmlDeviceGetHandleByIndex_v2");
        unsigned count = 0;
        if (count_devices == nullptr || handle_of == nullptr ||
            count_devices(&count) != nvml_success) {
            return result;
        }
        for (unsigned index = 0; index < count; ++index) {
            NvmlDevice device = nullptr;
            if (handle_of(index, &device) == nvml_success) result.push_back(describe(device));
        }
        return result;
    }

private:
    explicit Nvml(std::unique_ptr<void, LibraryCloser> library) : library_{std::move(library)} {}

    template <typename Function>
    [[nodiscard]] Function* find(const char* name) const {
        return std::bit_cast<Function*>(::dlsym(library_.get(), name));
    }

    [[nodiscard]] std::string text(const char* function, NvmlDevice device) const {
        std::array<char, 128> value{};
        const auto get = find<int(NvmlDevice, char*, unsigned)>(function);
        if (get == nullptr || get(device, value.data(), value.size()) != nvml_success) return {};
        return value.data();
    }

    [[nodiscard]] ManagedDevice describe(NvmlDevice device) const {
        ManagedDevice result;
        result.name = text("nvmlDeviceGetName", device);
        result.uuid = text("nvmlDeviceGetUUID", device);
        NvmlMemory memory{};
        const auto get = find<int(NvmlDevice, NvmlMemory*)>("nvmlDeviceGetMemoryInfo");
        if (get != nullptr && get(device, &memory) == nvml_success) {
            result.total_bytes = memory.total;
            result.used_bytes = memory.used;
        }
        for (const char* kind : {"nvmlDeviceGetComputeRunningProcesses_v3",
                                 "nvmlDeviceGetGraphicsRunningProcesses_v3"}) {
            add_holders(kind, device, result.holders);
        }
        return result;
    }

    void add_holders(const char* kind, NvmlDevice device,
                     std::vector<DeviceHolder>& holders) const {
        const auto list = find<int(NvmlDevice, unsigned*, NvmlProcess*)>(kind);
        if (list == nullptr) return;
        std::vector<NvmlProcess> processes(64);
        auto count = static_cast<unsigned>(processes.size());
        int status = list(device, &count, processes.data());
        if (status == nvml_insufficient_size) {
            count += 16;  // more may begin meanwhile
            processes.resize(count);
            status = list(device, &count, processes.data());
        }
        if (status != nvml_success) return;
        processes.resize(std::min<std::size_t>(count, processes.size()));
        for (const NvmlProcess& process : processes) {
            const std::int64_t pid{process.pid};
            if (std::ranges::find(holders, pid, &DeviceHolder::pid) != holders.end()) continue;
            holders.push_back({pid, program_of(pid),
                               process.used_memory == not_available ? 0 : process.used_memory});
        }
    }

    /// Empty in a container with processes of its own: NVML's numbers are the host's.
    static std::string program_of(std::int64_t pid) {
        std::error_code error;
        const auto numbers = std::filesystem::read_symlink("/proc/self/ns/pid", error);
        if (error || numbers != initial_pid_namespace) return {};
        std::ifstream file{fmt::format("/proc/{}/comm", pid)};
        std::string name;
        std::getline(file, name);
        return name;
    }

    std::unique_ptr<void, LibraryCloser> library_;
};

}  // namespace

ManagedDevices list_managed_devices() {
    ManagedDevices result;
    if (const auto nvml = Nvml::open(result.reason)) result.devices = nvml->devices();
    return result;
}

std::string describe_strangers(const ManagedDevice& device) {
    std::string text;
    for (const DeviceHolder& holder : device.holders) {
        if (holder.pid == ::getpid()) continue;
        text += fmt::format("{}{} held by pid {}{}", text.empty() ? "" : ", ",
                            holder.bytes == 0 ? "memory" : fmt::format("{} bytes", holder.bytes),
                            holder.pid,
                            holder.program.empty() ? "" : fmt::format(" ({})", holder.program));
    }
    constexpr std::uint64_t idle_bytes = std::uint64_t{2} << 30U;  // the driver's part, a context
    if (device.holders.empty() && device.used_bytes > idle_bytes) {
        return fmt::format("{} bytes in use by what the driver does not name", device.used_bytes);
    }
    return text;
}

std::string describe_strangers_on(const std::string& uuid) {
    const ManagedDevices managed = list_managed_devices();
    const auto device = std::ranges::find(managed.devices, uuid, &ManagedDevice::uuid);
    return device == managed.devices.end() ? "" : describe_strangers(*device);
}

}  // namespace longrope::evaluator::cuda
