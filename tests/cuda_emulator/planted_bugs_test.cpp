// SPDX-License-Identifier: Apache-2.0
// Bugs planted on purpose: what the emulator is there to catch, it catches.
#include <doctest/doctest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "evaluator/cuda/kernels/device_values.hpp"
#include "tests/cuda_emulator/device_array.hpp"
#include "tests/cuda_emulator/emulator.hpp"

namespace longrope::tests::cuda_emulator {
namespace {

using namespace evaluator::cuda;  // the words of CUDA C++

/// Sums of the block's values through shared memory, by halving.
template <bool HasBarriers>
__global__ void shared_sum(const float* values, float* sums) {
    auto* shared = shared_memory<float>();
    shared[threadIdx.x] = values[blockIdx.x * blockDim.x + threadIdx.x];
    if (HasBarriers) __syncthreads();
    for (unsigned half = blockDim.x / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        if (HasBarriers) __syncthreads();
    }
    if (threadIdx.x == 0) sums[blockIdx.x] = shared[0];
}

/// Each thread passes its value to the next higher one. In ascending order of threads the barrier
/// seems not to be needed.
__global__ void shift_without_barrier(const float* values, float* shifted) {
    auto* shared = shared_memory<float>();
    shared[threadIdx.x] = values[threadIdx.x];
    shifted[threadIdx.x] = threadIdx.x == 0 ? 0.0F : shared[threadIdx.x - 1];
}

std::vector<float> counted(std::size_t count) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i);
    return values;
}

template <class Kernel>
std::vector<float> sums_of(Kernel kernel, std::uint64_t shuffle) {
    Emulator emulator{{.shuffle = shuffle}};
    const DeviceArray<float> values{emulator, counted(256)};
    DeviceArray<float> sums{emulator, 4};
    launch(kernel, {{4}, {64}, 64 * sizeof(float)}, emulator.compute_stream(), values.data(),
           sums.data());
    return sums.download();
}

TEST_CASE("barriers, shared memory and shuffles work in every order of threads") {
    for (const std::uint64_t shuffle : {0U, 1U, 2U, 3U}) {
        INFO("shuffle = ", shuffle);
        CHECK(sums_of(shared_sum<true>, shuffle) ==
              std::vector<float>{2016.0F, 6112.0F, 10208.0F, 14304.0F});
    }
}

TEST_CASE("a missing barrier shows") {
    const auto right = sums_of(shared_sum<true>, 0);
    CHECK(sums_of(shared_sum<false>, 0) != right);
    CHECK(sums_of(shared_sum<false>, 1) != right);
}

TEST_CASE("a missing barrier that the ascending order hides shows in another one") {
    const auto shifted = [](std::uint64_t shuffle) {
        Emulator emulator{{.shuffle = shuffle}};
        const DeviceArray<float> values{emulator, counted(64)};
        DeviceArray<float> result{emulator, 64};
        launch(shift_without_barrier, {{1}, {64}, 64 * sizeof(float)}, emulator.compute_stream(),
               values.data(), result.data());
        return result.download();
    };
    CHECK(shifted(0)[63] == 62.0F);
    const std::vector<float> other = shifted(1);
    CHECK(std::any_of(other.begin(), other.end(), [](float value) { return std::isnan(value); }));
}

/// Runs one block of `threads` and gives what went wrong.
std::string failure(void (*kernel)(), unsigned threads, std::uint64_t shuffle) {
    Emulator emulator{{.shuffle = shuffle}};
    launch(kernel, {{1}, {threads}}, emulator.compute_stream());
    try {
        emulator.synchronize(emulator.compute_stream());
    } catch (const EmulatorError& error) {
        // The same fibres serve the next kernel.
        launch(
            +[] { __syncthreads(); }, {{2}, {threads}}, emulator.compute_stream());
        CHECK_NOTHROW(emulator.synchronize(emulator.compute_stream()));
        return error.what();
    }
    return "";
}

void check_caught(void (*kernel)(), unsigned threads, const std::string& words) {
    for (const std::uint64_t shuffle : {0U, 1U}) {
        const std::string found = failure(kernel, threads, shuffle);
        INFO("shuffle = ", shuffle, ": ", found);
        CHECK(found.find(words) != std::string::npos);
    }
}

TEST_CASE("a divergent barrier is caught") {
    check_caught(
        +[] {
            if (threadIdx.x % 2 == 0) __syncthreads();
        },
        64, "divergent barrier: not all threads of the block reach it");
    check_caught(
        +[] {
            if (threadIdx.x < 32) {
                __syncthreads();
            } else {
                __syncthreads();
            }
        },
        64, "divergent barrier: thread ");
    check_caught(
        +[] {
            if (threadIdx.x == 5) return;
            __syncthreads();
        },
        64, "thread 5 has ended");
}

TEST_CASE("a wrong shuffle mask is caught") {
    check_caught(
        +[] { __shfl_xor_sync(0x0000FFFFU, 1.0F, 1); }, 32, "is not in it");
    check_caught(
        +[] {
            if (threadIdx.x < 16) __shfl_xor_sync(0x0000FFFFU, 1.0F, 16);
        },
        32, "which is not in it");
    check_caught(
        +[] {
            if (threadIdx.x < 16) __shfl_xor_sync(all_lanes, 1.0F, 1);
        },
        32, "wrong shuffle mask 0xffffffff");
    check_caught(
        +[] {
            const unsigned mask = threadIdx.x % 2 == 0 ? all_lanes : 0xFFFFFFFEU;
            if (threadIdx.x != 0) __shfl_xor_sync(mask | 1U << threadIdx.x, 1.0F, 0);
        },
        32, "wrong shuffle mask");
    check_caught(
        +[] { __shfl_xor_sync(all_lanes, 1.0F, 1); }, 16, "the block does not have");
}

TEST_CASE("lanes of a part of a warp may meet among themselves") {
    Emulator emulator{{.shuffle = 4}};
    DeviceArray<float> sums{emulator, 64};
    launch(
        +[](float* out) {
            const unsigned mask = threadIdx.x % 32 < 16 ? 0x0000FFFFU : 0xFFFF0000U;
            float sum = static_cast<float>(threadIdx.x);
            for (unsigned distance = 8; distance > 0; distance /= 2) {
                sum += __shfl_xor_sync(mask, sum, distance);
            }
            out[threadIdx.x] = sum;
        },
        {{1}, {64}}, emulator.compute_stream(), sums.data());
    const std::vector<float> found = sums.download();
    for (std::size_t i = 0; i < 64; ++i) {
        const std::size_t group = i / 16;
        CHECK(found[i] == static_cast<float>(120 + 256 * group));
    }
}

TEST_CASE("what was never written reads as NaN, on the device and in shared memory") {
    Emulator emulator;
    DeviceArray<float> unwritten{emulator, 8};
    DeviceArray<float> copied{emulator, 9};
    launch(
        +[](const float* in, float* out) {
            out[threadIdx.x] = in[threadIdx.x];
            if (threadIdx.x == 0) out[8] = shared_memory<float>()[3];
        },
        {{1}, {8}, 16}, emulator.compute_stream(), unwritten.data(), copied.data());
    for (const float value : copied.download()) CHECK(std::isnan(value));
    CHECK(std::isnan(to_float(Bfloat16{0xFFFFU})));
}

#if !defined(__SANITIZE_ADDRESS__)  // which ends the program: tests/sanitizers plants this one then
TEST_CASE("a write out of bounds is caught") {
    for (const std::ptrdiff_t at : {-1, 100}) {
        Emulator emulator;
        DeviceArray<float> array{emulator, 100};
        launch(
            +[](float* out, std::ptrdiff_t index) { out[index] = 1.0F; }, {{1}, {1}},
            emulator.compute_stream(), array.data(), at);
        CHECK_THROWS_WITH_AS(emulator.synchronize(emulator.compute_stream()),
                             doctest::Contains("out of the bounds of an allocation of 400 bytes"),
                             EmulatorError);
    }
}
#endif

/// Writes 1 to the block's row; `Index` is the type of the product row * columns.
template <class Index>
__global__ void mark_row(float* data, unsigned columns) {
    const Index row = blockIdx.x;
    data[static_cast<std::int64_t>(static_cast<Index>(row * static_cast<Index>(columns))) +
         threadIdx.x] = 1.0F;
}

TEST_CASE("an index of 32 bits into 2,048,000 rows of 4,096 is caught by one block") {
    constexpr unsigned rows = 2'048'000;
    constexpr unsigned columns = 4096;
    const SparseArray<float> array{std::int64_t{rows} * columns};
    const auto marks_last_row = [&](auto kernel) {
        Emulator emulator;
        emulator.run_only_block(rows - 1);
        launch(kernel, {{rows}, {256}}, emulator.compute_stream(), array.data(), columns);
        emulator.synchronize(emulator.compute_stream());
        const float* last = array.data() + std::int64_t{rows - 1} * columns;
        return std::all_of(last, last + 256, [](float value) { return value == 1.0F; });
    };
    // Unsigned, since the sanitizer ends the program where a signed one overflows.
    CHECK_FALSE(marks_last_row(mark_row<std::uint32_t>));
    CHECK(marks_last_row(mark_row<std::int64_t>));
}

TEST_CASE("a launch that no GPU takes is refused") {
    Emulator emulator;
    const auto refused = [&](const LaunchShape& shape) {
        CHECK_THROWS_AS(launch(
                            +[] {}, shape, emulator.compute_stream()),
                        EmulatorError);
    };
    refused({{0}, {32}});
    refused({{1, 65536}, {32}});
    refused({{1}, {1025}});
    refused({{1}, {64, 32}});
}

TEST_CASE("copies run as early or as late as their events let them") {
    for (const bool copies_first : {false, true}) {
        for (const bool waits : {false, true}) {
            INFO("copies first: ", copies_first, ", waits: ", waits);
            Emulator emulator{{.copies_first = copies_first}};
            DeviceArray<float> array{emulator, std::vector<float>{1.0F}};
            DeviceArray<float> seen{emulator, 1};
            emulator.synchronize(emulator.compute_stream());
            const DeviceEvent arrived{emulator};
            const DeviceEvent read{emulator};
            const float two = 2.0F;
            const float three = 3.0F;
            const auto copy = [&](const float& value) {
                emulator.copy_to_device(reinterpret_cast<std::byte*>(array.data()),
                                        reinterpret_cast<const std::byte*>(&value), sizeof value,
                                        emulator.copy_stream());
            };
            copy(two);
            emulator.record(arrived.get(), emulator.copy_stream());
            if (waits) emulator.wait(emulator.compute_stream(), arrived.get());
            launch(
                +[](const float* in, float* out) { *out = *in; }, {{1}, {1}},
                emulator.compute_stream(), array.data(), seen.data());
            emulator.record(read.get(), emulator.compute_stream());
            if (waits) emulator.wait(emulator.copy_stream(), read.get());
            copy(three);
            const float found = seen.download()[0];
            CHECK(found == (waits ? 2.0F : copies_first ? 3.0F : 1.0F));
        }
    }
}

}  // namespace
}  // namespace longrope::tests::cuda_emulator
