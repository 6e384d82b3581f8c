// SPDX-License-Identifier: Apache-2.0
#include "worker/core_set.hpp"

#include <sched.h>

#include <algorithm>
#include <type_traits>

namespace longrope::worker {

static_assert(std::is_trivially_copyable_v<CoreSet>);

CoreSet CoreSet::of(pid_t process) {
    CoreSet set;
    auto* mask = reinterpret_cast<cpu_set_t*>(set.words_.data());
    return ::sched_getaffinity(process, sizeof set.words_, mask) == 0 ? set : CoreSet{};
}

bool CoreSet::bind(pid_t process) const {
    const auto* mask = reinterpret_cast<const cpu_set_t*>(words_.data());
    return ::sched_setaffinity(process, sizeof words_, mask) == 0;
}

void CoreSet::insert(int core) {
    if (core < 0 || core >= limit) return;
    const auto number = static_cast<std::size_t>(core);
    words_[number / word_bits] |= Word{1} << number % word_bits;
}

std::vector<int> CoreSet::cores() const {
    std::vector<int> result;
    for (std::size_t core = 0; core < limit; ++core) {
        if ((words_[core / word_bits] >> core % word_bits & 1U) != 0) {
            result.push_back(static_cast<int>(core));
        }
    }
    return result;
}

bool CoreSet::meets(const CoreSet& other) const noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) {
        if ((words_[i] & other.words_[i]) != 0) return true;
    }
    return false;
}

CoreShare core_share(std::span<const CoreSet> node, std::size_t rank) {
    const CoreSet& own = node[rank];
    const std::vector<int> cores = own.cores();
    const auto available = std::ssize(cores);
    std::ptrdiff_t sharing = 0;  // ranks, this one among them
    std::ptrdiff_t before = 0;
    bool alike = true;
    for (std::size_t other = 0; other < node.size(); ++other) {
        if (other != rank && !own.meets(node[other])) continue;
        alike = alike && node[other] == own;
        if (other < rank) ++before;
        ++sharing;
    }
    CoreShare share;
    share.number = std::max(1, static_cast<int>(available / sharing));
    if (sharing > 1 && alike && available >= sharing) {
        share.cores.assign(cores.begin() + before * available / sharing,
                           cores.begin() + (before + 1) * available / sharing);
    }
    return share;
}

}  // namespace longrope::worker
