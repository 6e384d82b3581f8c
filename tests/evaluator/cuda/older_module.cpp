// SPDX-License-Identifier: Apache-2.0
// A GPU backend that was built with other headers: it must be refused before anything is called.
#include <cstdlib>

extern "C" const char* longrope_cuda_interface_digest() {
    return "of another build";
}
extern "C" void* longrope_cuda_module() {
    std::abort();
}
