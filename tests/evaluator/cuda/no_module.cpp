// SPDX-License-Identifier: Apache-2.0
// A library without the symbols of a GPU backend.
extern "C" int longrope_cuda_something_else() {
    return 0;
}
