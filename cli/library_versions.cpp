// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <hdf5.h>
#include <mpi.h>
#include <oneapi/dnnl/dnnl.h>

#include <algorithm>
#include <array>
#include <string>

#include "cli/version.hpp"

namespace longrope::cli {

std::string library_versions() {
    std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> mpi{};
    int length = 0;
    MPI_Get_library_version(mpi.data(), &length);  // may be called without MPI_Init
    std::string mpi_version{mpi.data(), static_cast<std::size_t>(length)};
    mpi_version.resize(std::min(mpi_version.find(','), mpi_version.size()));
    unsigned major = 0;
    unsigned minor = 0;
    unsigned release = 0;
    H5get_libversion(&major, &minor, &release);
    const dnnl_version_t* dnnl = dnnl_version();
    return fmt::format("{}, HDF5 {}.{}.{}, oneDNN {}.{}.{}", mpi_version, major, minor, release,
                       dnnl->major, dnnl->minor, dnnl->patch);
}

}  // namespace longrope::cli
