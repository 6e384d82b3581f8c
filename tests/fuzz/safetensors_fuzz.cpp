// SPDX-License-Identifier: Apache-2.0
#include "evaluator/model/safetensors.hpp"

#include "evaluator/evaluator.hpp"
#include "tests/fuzz/fuzz_targets.hpp"
#include "tests/fuzz/memory_file.hpp"

namespace longrope::fuzz {

int fuzz_safetensors(const std::uint8_t* data, std::size_t size) {
    static const MemoryFile file;
    file.write(data, size);
    try {
        const evaluator::SafetensorsFile opened{file.path()};
        require(8 + opened.header().size() + opened.data().size() == size,
                "length, header and tensors are the file");
        std::size_t covered = 0;
        for (const auto& [name, view] : opened.tensors()) {
            covered += view.bytes.size();
            if (view.bytes.empty()) continue;
            require(view.bytes.data() >= opened.data().data() &&
                        view.bytes.data() + view.bytes.size() <=
                            opened.data().data() + opened.data().size(),
                    "tensors lie in the file");
            std::size_t elements = 1;
            for (const std::int64_t length : view.shape) {
                elements *= static_cast<std::size_t>(length);
            }
            require(elements * evaluator::element_size(view.type) == view.bytes.size(),
                    "a tensor has the bytes of its shape");
        }
        require(covered == opened.data().size(), "every byte belongs to one tensor");
    } catch (const evaluator::EvaluatorError&) {
        return 0;
    }
    return 0;
}

}  // namespace longrope::fuzz
