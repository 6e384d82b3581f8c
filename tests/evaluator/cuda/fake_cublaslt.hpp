// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cublasLt.h>

#include <cstddef>
#include <functional>
#include <map>
#include <string>

namespace longrope::tests {

/// A product as cublasLt was asked for it: copies of the descriptors, which the library itself
/// made.
struct AskedProduct {
    cublasLtMatmulDescOpaque_t matmul;
    cublasLtMatrixLayoutOpaque_t a, b, c, d;
};

/// Takes the place of the functions of cublasLt that need a device: the program's own symbols come
/// before a library's. Descriptors are the real library's. cublasLtMatmul reads them back and does
/// that product in plain loops, in double, over host memory.
struct FakeCublasLt {
    /// Changes what was asked for before it is done: a planted mistake.
    std::function<void(AskedProduct&)> plant;
    /// Bytes that lie at each pointer; a descriptor that reaches further is an error.
    std::map<const void*, std::size_t> buffers;
    /// Whether the algorithm chosen for a full chunk serves other rows.
    bool algorithm_serves = true;

    int choices = 0;                   ///< calls of the heuristics
    int products = 0;                  ///< done
    std::string mistake;               ///< why the last one was refused; empty if it was done
    std::size_t workspace_limit = 0;   ///< of the last choice
    unsigned reduction_schemes = ~0U;  ///< allowed by the last choice
    unsigned alignment = 0;            ///< promised for A by the last choice

    static FakeCublasLt& instance();
};

}  // namespace longrope::tests
