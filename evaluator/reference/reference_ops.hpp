// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "evaluator/device_ops.hpp"
#include "evaluator/precision.hpp"

namespace longrope::evaluator::reference {

/// Plain loops on one thread, float32 storage and double accumulation: the definition of what the
/// other backends compute. About a hundred times slower than the CPU backend.
/// @param chunk_rows  rows of a call; any value gives the same bits
[[nodiscard]] std::unique_ptr<DeviceOps> make_reference_ops(Precision precision,
                                                            std::int64_t chunk_rows = 256);

/// Raised when the arithmetic of this backend changes.
inline constexpr int kernel_revision = 2;

}  // namespace longrope::evaluator::reference
