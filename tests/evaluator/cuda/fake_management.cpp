// SPDX-License-Identifier: Apache-2.0
// Stands in for libnvidia-ml.so.1: two devices, the first with a leftover process and one whose
// memory the driver does not tell, the second free. TEST_NVML_PID is the leftover's pid;
// without it the library does not start.
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

constexpr int success = 0;
constexpr int driver_not_loaded = 9;
constexpr int insufficient_size = 7;
constexpr unsigned long long not_available = ~0ULL;

struct Device {
    const char* name;
    const char* uuid;
    unsigned long long total, used;
};
Device devices[] = {{"NVIDIA H100 80GB HBM3", "GPU-00000000-0000-0000-0000-000000000001",
                     85'520'809'984ULL, 13'000'000'000ULL},
                    {"NVIDIA H100 80GB HBM3", "GPU-00000000-0000-0000-0000-000000000002",
                     85'520'809'984ULL, 600'000'000ULL}};

struct Memory {
    unsigned long long total, free, used;
};
struct Process {
    unsigned pid;
    unsigned long long used_memory;
    unsigned gpu_instance, compute_instance;
};

int copy(const char* text, char* to, unsigned size) {
    if (std::strlen(text) + 1 > size) return insufficient_size;
    std::strcpy(to, text);
    return success;
}

const char* leftover() {
    return std::getenv("TEST_NVML_PID");
}

}  // namespace

extern "C" {

int nvmlInit_v2() {
    return leftover() != nullptr ? success : driver_not_loaded;
}
int nvmlShutdown() {
    return success;
}
int nvmlDeviceGetCount_v2(unsigned* count) {
    *count = 2;
    return success;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, Device** device) {
    *device = &devices[index];
    return success;
}
int nvmlDeviceGetName(Device* device, char* name, unsigned size) {
    return copy(device->name, name, size);
}
int nvmlDeviceGetUUID(Device* device, char* uuid, unsigned size) {
    return copy(device->uuid, uuid, size);
}
int nvmlDeviceGetMemoryInfo(Device* device, Memory* memory) {
    *memory = {device->total, device->total - device->used, device->used};
    return success;
}
int nvmlDeviceGetComputeRunningProcesses_v3(Device* device, unsigned* count, Process* processes) {
    if (device != devices) {
        *count = 0;
        return success;
    }
    const unsigned room = *count;
    *count = 2;
    if (room < 2) return insufficient_size;
    processes[0] = {static_cast<unsigned>(std::stoul(leftover())), 12'884'901'888ULL, 0, 0};
    processes[1] = {1, not_available, 0, 0};
    return success;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(Device* device, unsigned* count, Process* processes) {
    return nvmlDeviceGetComputeRunningProcesses_v3(device, count, processes);
}
}
