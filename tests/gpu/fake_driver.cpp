// SPDX-License-Identifier: Apache-2.0
// libcuda.so.1 for a machine without a device: what cuDNN asks of the driver while it builds a
// plan, which is to load the kernel that it has generated. Nothing can be launched.
//
// Signatures are those of cuda.h (CUDA 13), with plain types; every function returns a CUresult.
// cuDNN looks up more than it calls: those are there by name, and end the program if they are
// called after all.
#include <cstdio>
#include <cstdlib>

namespace {

constexpr int success = 0;
constexpr int not_found = 500;

int library_handle = 0;
int kernel_handle = 0;

}  // namespace

extern "C" {

int cuInit(unsigned /*flags*/) {
    return success;
}

int cuDriverGetVersion(int* version) {
    *version = 13000;
    return success;
}

int cuDeviceGetCount(int* count) {
    *count = 1;
    return success;
}

/// The runtime library looks for private tables of the driver, and goes on without.
int cuGetExportTable(const void** table, const void* /*uuid*/) {
    *table = nullptr;
    return not_found;
}

int cuGetErrorString(int /*error*/, const char** text) {
    *text = "of the tests' driver";
    return success;
}

int cuLibraryLoadData(void** library, const void* code, void* /*jit_options*/, void** /*values*/,
                      unsigned /*count*/, void* /*library_options*/, void** /*library_values*/,
                      unsigned /*library_count*/) {
    if (code == nullptr) return not_found;
    *library = &library_handle;
    return success;
}

int cuLibraryUnload(void* /*library*/) {
    return success;
}

/// The name says what cuDNN has chosen: architecture, tile, data type.
int cuLibraryGetKernel(void** kernel, void* /*library*/, const char* name) {
    std::printf("  %s\n", name);
    *kernel = &kernel_handle;
    return success;
}

#define LONGROPE_NEVER_CALLED(name)                                 \
    int name() {                                                    \
        std::fputs("the tests' driver has no " #name "\n", stderr); \
        std::abort();                                               \
    }
LONGROPE_NEVER_CALLED(cuCtxGetCurrent)
LONGROPE_NEVER_CALLED(cuCtxGetLimit)
LONGROPE_NEVER_CALLED(cuCtxPopCurrent)
LONGROPE_NEVER_CALLED(cuCtxPushCurrent)
LONGROPE_NEVER_CALLED(cuDeviceGet)
LONGROPE_NEVER_CALLED(cuGetErrorName)
LONGROPE_NEVER_CALLED(cuKernelGetAttribute)
LONGROPE_NEVER_CALLED(cuKernelSetAttribute)
LONGROPE_NEVER_CALLED(cuLaunchCooperativeKernel)
LONGROPE_NEVER_CALLED(cuLaunchKernel)
LONGROPE_NEVER_CALLED(cuLaunchKernelEx)
LONGROPE_NEVER_CALLED(cuLibraryLoadFromFile)
LONGROPE_NEVER_CALLED(cuLinkAddData)
LONGROPE_NEVER_CALLED(cuLinkComplete)
LONGROPE_NEVER_CALLED(cuLinkCreate)
LONGROPE_NEVER_CALLED(cuLinkDestroy)
LONGROPE_NEVER_CALLED(cuOccupancyMaxPotentialClusterSize)
LONGROPE_NEVER_CALLED(cuStreamGetCtx)
#undef LONGROPE_NEVER_CALLED

}  // extern "C"
