// SPDX-License-Identifier: Apache-2.0
// Makes the mistake that its argument names, so that a test sees the sanitizers report it.
#include <cstdio>
#include <limits>
#include <memory>
#include <string_view>
#include <thread>
#include <vector>

namespace {

[[gnu::noinline]] void lose(std::size_t size) {
    auto lost = std::make_unique<std::vector<int>>(size);
    std::printf("%p is lost\n", static_cast<void*>(lost->data()));
    static_cast<void>(lost.release());
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view mistake = argc == 2 ? argv[1] : "";
    if (mistake == "overrun") {
        const std::vector<int> values(4);
        return values.data()[argc + 2];
    }
    if (mistake == "leak") {
        lose(100);
        return 0;
    }
    if (mistake == "overflow") {
        const int largest = std::numeric_limits<int>::max();
        return largest + argc;
    }
    if (mistake == "race") {
        int shared = 0;
        {
            const std::jthread other{[&] { shared += 1; }};
            shared += 1;
        }
        return shared;
    }
    std::printf("usage: planted_mistake overrun|leak|overflow|race\n");
    return 2;
}
