// SPDX-License-Identifier: Apache-2.0
#include "evaluator/cuda/device_holders.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace longrope::evaluator::cuda {
namespace {

ManagedDevice device_with(std::uint64_t used_bytes, std::vector<DeviceHolder> holders) {
    return {.total_bytes = 80'000'000'000, .used_bytes = used_bytes, .holders = std::move(holders)};
}

TEST_CASE("strangers are all that hold memory but this process") {
    const DeviceHolder self{.pid = ::getpid(), .program = "longrope", .bytes = 500'000'000};
    CHECK(describe_strangers(device_with(600'000'000, {})).empty());
    CHECK(describe_strangers(device_with(60'000'000'000, {self})).empty());
    CHECK(describe_strangers(device_with(
              60'000'000'000, {{.pid = 1, .program = "python3", .bytes = 12}, self, {.pid = 2}})) ==
          "12 bytes held by pid 1 (python3), memory held by pid 2");
}

TEST_CASE("memory in use that the driver names no holder of is told, as in a container") {
    CHECK(describe_strangers(device_with(60'000'000'000, {})) ==
          "60000000000 bytes in use by what the driver does not name");
}

}  // namespace
}  // namespace longrope::evaluator::cuda
