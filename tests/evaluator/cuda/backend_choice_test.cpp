// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/backend_choice.hpp"

#include <doctest/doctest.h>

#include <fstream>
#include <string>

#include "evaluator/cuda/module_loader.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::evaluator::cuda;
using longrope::tests::TemporaryFolder;

namespace {

ProbeResult with_devices(int count) {
    ProbeResult probe;
    for (int i = 0; i < count; ++i) {
        probe.devices.push_back({.name = "NVIDIA H100",
                                 .uuid = "GPU-" + std::to_string(i),
                                 .architecture = "sm_90",
                                 .total_bytes = 80'000'000'000});
    }
    if (count == 0) probe.reason = "no NVIDIA driver";
    return probe;
}

}  // namespace

TEST_CASE("the GPU is taken where there is a device and the precision is bf16") {
    CHECK(choose_backend(with_devices(1), "bf16", 0).gpu);
    CHECK(choose_backend(with_devices(1), "bf16", 0).reason.empty());

    const BackendChoice other_precision = choose_backend(with_devices(1), "f32", 0);
    CHECK_FALSE(other_precision.gpu);
    CHECK(other_precision.reason ==
          "NVIDIA H100 is there, but the GPU backend computes in bf16 and evaluator.precision = "
          "\"f32\"");

    for (const char* precision : {"bf16", "f32"}) {
        const BackendChoice no_device = choose_backend(with_devices(0), precision, 0);
        CHECK_FALSE(no_device.gpu);
        CHECK(no_device.reason == "no NVIDIA driver");
    }
}

TEST_CASE("the ranks of a node take its devices in turn") {
    for (int devices = 1; devices <= 8; ++devices) {
        for (std::uint32_t rank = 0; rank < 20; ++rank) {
            INFO("rank ", rank, " of a node with ", devices, " devices");
            const BackendChoice choice = choose_backend(with_devices(devices), "bf16", rank);
            CHECK(choice.gpu);
            CHECK(choice.device == static_cast<int>(rank) % devices);
        }
    }
}

TEST_CASE("a rank keeps its device where others have got other numbers, or has none") {
    ProbeResult probe = with_devices(8);
    probe.devices.erase(probe.devices.begin() + 3);  // lost
    for (std::uint32_t rank = 0; rank < 8; ++rank) {
        const std::string uuid = "GPU-" + std::to_string(rank);
        const BackendChoice choice = choose_backend(probe, "bf16", rank, uuid);
        CHECK(choice.gpu == (rank != 3));
        if (choice.gpu) CHECK(probe.devices[static_cast<std::size_t>(choice.device)].uuid == uuid);
    }
    CHECK(choose_backend(probe, "bf16", 3, "GPU-3").reason ==
          "GPU-3 is not among the 7 devices that CUDA shows");
}

TEST_CASE("devices without bfloat16 products are left out, and named where there is no other") {
    ProbeResult probe = with_devices(3);
    probe.devices[0].name = "Tesla T4";
    probe.devices[0].architecture = "sm_75";
    for (std::uint32_t rank = 0; rank < 6; ++rank) {
        CHECK(choose_backend(probe, "bf16", rank).device == 1 + static_cast<int>(rank) % 2);
    }
    probe.devices.resize(1);
    const BackendChoice none = choose_backend(probe, "bf16", 0);
    CHECK_FALSE(none.gpu);
    CHECK(none.reason == "Tesla T4 is sm_75, and the GPU backend is built for sm_80 and later");
    // Two digits of the minor version and three in all.
    probe.devices[0].architecture = "sm_120";
    CHECK(choose_backend(probe, "bf16", 0).gpu);
}

TEST_CASE("a file that is no GPU backend is refused with the reason") {
    const TemporaryFolder folder;
    CHECK(load_module(folder.path() / "none.so").module == nullptr);
    CHECK(load_module(folder.path() / "none.so").reason.find("this build has no GPU backend") == 0);

    std::ofstream{folder.path() / "text.so"} << "this is not a library";
    const LoadedModule text = load_module(folder.path() / "text.so");
    CHECK(text.module == nullptr);
    CHECK(text.reason.find("the GPU backend cannot be loaded: ") == 0);
    CHECK(text.reason.find("text.so") != std::string::npos);

    // A library, but another one.
    const LoadedModule other = load_module(LONGROPE_OTHER_MODULE);
    CHECK(other.module == nullptr);
    CHECK(other.reason.find("is not longrope's GPU backend") != std::string::npos);

    const LoadedModule older = load_module(LONGROPE_OLDER_MODULE);
    CHECK(older.module == nullptr);
    CHECK(older.reason.find("belongs to another build of longrope") != std::string::npos);
}
