// SPDX-License-Identifier: Apache-2.0
// Boost.JSON compiled with our instrumentation, in the place of the system's library.
#include <boost/json/src.hpp>
