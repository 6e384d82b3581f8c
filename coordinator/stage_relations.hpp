// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "coordinator/configuration.hpp"
#include "coordinator/given_settings.hpp"

namespace longrope::coordinator {

/// Gives the sizes and bounds that follow from the kind and the target of a stage where the file
/// gives none, and checks what stages say of each other: base, kind, objective.
/// @throws ConfigurationError
void relate_stages(Configuration& configuration, const GivenSettings& given);

}  // namespace longrope::coordinator
