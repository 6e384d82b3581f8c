// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

// One function per target, in the form that libFuzzer calls. Each reads `size` bytes that anybody
// may have written, and catches the one class of error that its reader documents. Whatever else
// happens is a finding: another exception, a crash, a hang, an allocation without bound, or an
// accepted value that breaks what the reader promises.

namespace longrope::fuzz {

int fuzz_configuration(const std::uint8_t* data, std::size_t size);  ///< a configuration file
int fuzz_setting(const std::uint8_t* data, std::size_t size);        ///< a key and its flag's value
int fuzz_model_config(const std::uint8_t* data, std::size_t size);   ///< config.json
int fuzz_safetensors(const std::uint8_t* data, std::size_t size);    ///< a weights file
int fuzz_frames(const std::uint8_t* data, std::size_t size);         ///< a stream between processes
int fuzz_messages(const std::uint8_t* data, std::size_t size);   ///< a type, then a frame's body
int fuzz_documents(const std::uint8_t* data, std::size_t size);  ///< a documents file
int fuzz_history(const std::uint8_t* data, std::size_t size);    ///< a run's search.h5

/// Ends the process as a crash would, unless `promised` holds.
inline void require(bool promised, const char* promise) {
    if (promised) return;
    std::fprintf(stderr, "finding: it does not hold that %s\n", promise);
    std::abort();
}

}  // namespace longrope::fuzz
