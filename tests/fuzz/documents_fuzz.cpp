// SPDX-License-Identifier: Apache-2.0
#include <hdf5.h>

#include <filesystem>
#include <span>

#include "evaluator/digest.hpp"
#include "evaluator/documents.hpp"
#include "evaluator/documents_probe.hpp"
#include "evaluator/documents_reader.hpp"
#include "evaluator/evaluator.hpp"
#include "tests/evaluator/temporary_folder.hpp"
#include "tests/fuzz/fuzz_targets.hpp"
#include "tests/fuzz/hdf5_reading.hpp"

namespace longrope::fuzz {

Hdf5Reading read_documents(std::span<const std::uint8_t> bytes) {
    H5dont_atexit();
    // HDF5 resolves links, and a file in memory has no other path.
    static const tests::TemporaryFolder folder;
    const std::filesystem::path file =
        folder.write("documents.h5", {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    try {
        evaluator::probe_documents(file);  // as the program does
        const evaluator::Documents documents{file};
        Hdf5Reading reading;
        reading.content = documents.digest();
        evaluator::Sha256 tokens;
        for (std::uint32_t i = 0; i < documents.count(); ++i) {
            tokens.bytes(std::as_bytes(documents.tokens(i)));
            *reading.content += "\n" + documents.title(i);
            require(documents.input(i, documents.positions(i)).size() == documents.positions(i),
                    "a document fills its positions");
        }
        if (evaluator::DocumentsReader{file}.text_attribute("tokens_sha256")) {
            reading.sealed = tokens.hexadecimal();
        }
        std::size_t listed = 0;
        for (const auto split :
             {evaluator::Split::search, evaluator::Split::validation, evaluator::Split::heldout}) {
            listed += documents.of_split(split).size();
        }
        require(listed == documents.count(), "a document belongs to one split");
        try {
            documents.check_vocabulary(1000);
        } catch (const evaluator::EvaluatorError&) {
            return reading;
        }
        return reading;
    } catch (const evaluator::EvaluatorError& error) {
        return {std::nullopt, error.what()};
    }
}

int fuzz_documents(const std::uint8_t* data, std::size_t size) {
    const Hdf5Reading reading = read_documents({data, size});
    require(reading.content || !reading.refusal.empty(), "a refusal says why");
    return 0;
}

}  // namespace longrope::fuzz
