// SPDX-License-Identifier: Apache-2.0
// Whether cuDNN has plans for the attention that longrope asks of it, for devices that are not
// here: it takes a device's properties as JSON, and a driver of our own (fake_driver.cpp). Proves
// that its engines accept the graph and generate a kernel, and nothing of what that computes.
//
//   LD_LIBRARY_PATH=FOLDER_OF_FAKE_DRIVER cudnn_plans [first]
//
// "first": one shape for one device.
// Prints the kernel and a line for each device and shape. Exit status: 0 if all have a plan,
// else 1.
#include <fmt/format.h>

#include <exception>
#include <string>
#include <string_view>
#include <vector>

#include "evaluator/cuda/cudnn_attention.hpp"

namespace {

namespace cuda = longrope::evaluator::cuda;

struct Device {
    const char* name;
    int sm_version;
    int processors;
    int shared_bytes;  ///< of a block that asks for it
    int l2_bytes;
    double memory_gigabytes;
};

/// What cuDNN wants to know of a device, in its own words.
std::string properties(const Device& device) {
    return fmt::format(
        R"({{"deviceName":"{}","maxGridSize":[2147483647,65535,65535],"maxBlockSize":[1024,1024,64],)"
        R"("regsPerBlock":65536,"multiProcessorCount":{},"warpSize":32,)"
        R"("maxSharedMemoryPerBlock":49152,"maxSharedMemoryPerBlockOptin":{},)"
        R"("reservedSharedMemoryPerBlock":1024,"maxRegistersPerSM":65536,"maxCtasPerSM":32,)"
        R"("maxThreadsPerBlock":1024,"maxThreadsPerSM":2048,"pciDeviceId":0,"isTccDriver":0,)"
        R"("supportCoopLaunch":1,"totalGlobalMem":{},"smClockRateKHz":1500000,)"
        R"("memClockRateKHz":1500000,"l2CacheSize":{},"cudaDeviceId":0,"deviceVer":{},)"
        R"("driverVer":13000}})",
        device.name, device.processors, device.shared_bytes,
        static_cast<std::uint64_t>(device.memory_gigabytes * 1e9), device.l2_bytes,
        device.sm_version * 10);
}

/// Head-major keys and values of a longer document, queries by row among those of four groups,
/// outputs by row, as LayerAttention lays them out.
cuda::AttentionSegment segment(std::int64_t rows, std::int64_t keys, std::int64_t heads,
                               std::int64_t kv_heads, std::int64_t head_dim, bool causal) {
    return {.query_rows = rows,
            .keys = keys,
            .heads = heads,
            .kv_heads = kv_heads,
            .head_dim = head_dim,
            .causal = causal,
            .scale = 0.088388F,
            .query_row_stride = 4 * heads * head_dim,
            .query_head_stride = head_dim,
            .key_row_stride = head_dim,
            .key_head_stride = (keys + rows) * head_dim,
            .out_row_stride = heads * head_dim,
            .out_head_stride = head_dim};
}

}  // namespace

int main(int argc, char** argv) {
    const bool only_first = argc == 2 && std::string_view{argv[1]} == "first";
    const std::vector<Device> devices{{"A100", 80, 108, 166'912, 41'943'040, 80.0},
                                      {"H100", 90, 132, 232'448, 52'428'800, 80.0},
                                      {"B200", 100, 148, 232'448, 132'644'864, 180.0}};
    const std::vector<cuda::AttentionSegment> shapes{
        segment(8192, 8192, 8, 8, 128, true),       // LLaMA2-7B: the causal square
        segment(8192, 65536, 8, 8, 128, false),     // a full segment
        segment(8192, 8192, 8, 8, 128, false),      // what is left before the square
        segment(8192, 8192, 32, 8, 128, true),      // Mistral-7B: grouped queries
        segment(8192, 65536, 32, 8, 128, false),    //
        segment(128, 128, 8, 8, 128, true),         // a short document
        segment(896, 65536, 9, 3, 64, false),       // SmolLM2
        segment(8192, 2'097'024, 8, 8, 64, false),  // below 2^31 elements in one segment
    };
    int missing = 0;
    for (const Device& device : devices) {
        for (const cuda::AttentionSegment& shape : shapes) {
            std::string outcome;
            try {
                const std::int64_t plans =
                    cuda::plans_without_device(shape, properties(device), device.sm_version);
                outcome = fmt::format("{} plans", plans);
                if (plans == 0) ++missing;
            } catch (const std::exception& error) {
                outcome = error.what();
                ++missing;
            }
            fmt::print("{} {}x{}, {}/{} heads of {}{}: {}\n", device.name, shape.query_rows,
                       shape.keys, shape.heads, shape.kv_heads, shape.head_dim,
                       shape.causal ? ", causal" : "", outcome);
            if (only_first) return missing;
        }
    }
    return missing == 0 ? 0 : 1;
}
