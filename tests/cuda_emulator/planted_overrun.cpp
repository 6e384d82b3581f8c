// SPDX-License-Identifier: Apache-2.0
// A kernel that writes one element beyond its memory: the address sanitizer must end the program.
#include "tests/cuda_emulator/device_array.hpp"

int main() {
    using namespace longrope;
    tests::cuda_emulator::Emulator emulator;
    const tests::cuda_emulator::DeviceArray<float> array{emulator, 100};
    evaluator::cuda::launch(
        +[](float* out) { out[evaluator::cuda::threadIdx.x] = 1.0F; }, {{1}, {101}},
        emulator.compute_stream(), array.data());
    emulator.synchronize(emulator.compute_stream());
    return 0;
}
