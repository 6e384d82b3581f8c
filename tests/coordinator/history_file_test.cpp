// SPDX-License-Identifier: Apache-2.0
#include "coordinator/history_file.hpp"

#include <doctest/doctest.h>
#include <hdf5.h>
#include <signal.h>
#include <sys/resource.h>

#include <filesystem>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "coordinator/atomic_file.hpp"
#include "coordinator/history_digest.hpp"
#include "coordinator/history_encoding.hpp"
#include "coordinator/score_table.hpp"
#include "tests/coordinator/sample_history.hpp"
#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::coordinator;
using longrope::tests::TemporaryFolder;

namespace {

std::size_t files_in(const std::filesystem::path& folder) {
    const std::filesystem::directory_iterator files{folder};
    return static_cast<std::size_t>(std::distance(begin(files), end(files)));
}

std::string message_of_write(const std::filesystem::path& file, const RunHistory& history) {
    try {
        write_history(file, history);
    } catch (const HistoryError& error) {
        return error.what();
    }
    return "";
}

/// Files of this process cannot grow beyond `bytes` while it lives: a disk that is full.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        getrlimit(RLIMIT_FSIZE, &before_);
        before_signal_ = ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{bytes, before_.rlim_max};
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() {
        setrlimit(RLIMIT_FSIZE, &before_);
        ::signal(SIGXFSZ, before_signal_);
    }

private:
    rlimit before_{};
    void (*before_signal_)(int) = nullptr;
};

}  // namespace

TEST_CASE("what was written is read, value for value") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    std::vector<RunHistory> histories{RunHistory{}, sample_history(), sample_history({1, 1, 1}),
                                      sample_history({0, 4, 2}), sample_history({70, 32, 0})};
    for (std::size_t i = 0; i < histories.size(); ++i) {
        INFO("history ", i);
        write_history(file, histories[i]);
        const std::optional<RunHistory> read = read_history(file);
        REQUIRE(read.has_value());
        CHECK(content_digest(*read) == content_digest(histories[i]));
    }
    CHECK(files_in(folder.path()) == 1);
    CHECK(H5Fget_obj_count(H5F_OBJ_ALL, H5F_OBJ_ALL) == 0);
}

TEST_CASE("histories of earlier format versions are read; what they lack has its default") {
    RunHistory expected = sample_history();
    CHECK(other_numerics_in(expected.stages[0]) > 0);
    for (StageHistory& stage : expected.stages) {
        for (EvaluationRow& row : stage.evaluations.rows) row.other_numerics = 0;
        stage.budget_gpu_hours = 0.0;
    }
    const std::filesystem::path folder{HISTORY_FIXTURES};
    const auto third = read_history(folder / "version_3.h5");
    REQUIRE(third.has_value());
    CHECK(content_digest(*third) == content_digest(expected));
    for (StageHistory& stage : expected.stages) {
        stage.kind = "search";
        stage.model_digest.clear();
        stage.base = {};
    }
    const auto second = read_history(folder / "version_2.h5");
    REQUIRE(second.has_value());
    CHECK(content_digest(*second) == content_digest(expected));
    for (StageHistory& stage : expected.stages) {
        stage.ended_by.clear();
        stage.task_seconds = 0.0;
    }
    expected.idle_starts = 0;
    const auto first = read_history(folder / "version_1.h5");
    REQUIRE(first.has_value());
    CHECK(content_digest(*first) == content_digest(expected));
}

TEST_CASE("fields of every kind come back as they were") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    write_history(file, sample_history());
    const RunHistory read = read_history(file).value();
    const RunHistory written = sample_history();
    CHECK(read.seed == 18'000'000'000'000'000'000U);
    CHECK(read.state == RunState::stopped_early);
    CHECK(read.identity == written.identity);
    CHECK(read.configuration == written.configuration);
    REQUIRE(read.stages.size() == 2);
    CHECK(read.stages[0].name == "2048");
    CHECK(read.stages[1].name == "1024 later");
    CHECK(read.stages[0].complete);
    CHECK(read.stages[0].base == written.stages[0].base);
    CHECK(read.stages[1].base == BaseRecord{});
    CHECK(read.stages[0].model_digest == "sha256:model");
    CHECK(read.stages[0].heldout.document_weights == written.stages[0].heldout.document_weights);
    CHECK_FALSE(read.stages[1].complete);
    CHECK(read.stages[0].evaluations.rows[7].origin == Origin::crossover);
    CHECK(read.stages[0].evaluations.rows[3].status == Status::failed);
    CHECK(read.stages[0].evaluations.rows[3].mean_nll == std::numeric_limits<double>::infinity());
    CHECK(read.stages[0].evaluations.document_titles[1] == "Die Verwandlung – größer");
    CHECK(read.stages[0].failures[0].reason == written.stages[0].failures[0].reason);
    CHECK(read.stages[0].best.factors == written.stages[0].best.factors);
    CHECK(read.workers[1].device_uuid == "GPU-1234");
}

TEST_CASE("a file that does not exist is no history, and no error") {
    const TemporaryFolder folder;
    CHECK_FALSE(read_history(folder.path() / "search.h5").has_value());
    CHECK_FALSE(read_history(folder.path() / "no folder" / "search.h5").has_value());
}

TEST_CASE("equal histories give equal bytes") {
    CHECK(encode_history(sample_history()) == encode_history(sample_history()));
    RunHistory other = sample_history();
    other.stages[0].evaluations.document_nll[0] += 1e-9;
    CHECK(encode_history(other) != encode_history(sample_history()));
}

TEST_CASE("text that is not UTF-8 is stored readable") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    RunHistory history = sample_history();
    history.stages[0].failures[0].reason = std::string{"gr\xF6\xDF"} + '\0' + "er";
    write_history(file, history);
    CHECK(read_history(file)->stages[0].failures[0].reason ==
          "gr\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
          "er");
}

TEST_CASE("texts longer than an object header holds are stored") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    RunHistory history = sample_history();
    history.configuration.assign(300'000, 'c');
    for (int i = 0; i < 200; ++i) history.identity["key" + std::to_string(i)] = "value";
    write_history(file, history);
    CHECK(read_history(file)->configuration == history.configuration);
    CHECK(read_history(file)->identity == history.identity);
}

TEST_CASE("an inconsistent history is not written, and the old file stays") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    write_history(file, sample_history());
    const auto before = read_whole_file(file);

    RunHistory history = sample_history();
    history.stages[0].evaluations.rows[2].individual = 5;
    CHECK(message_of_write(file, history)
              .find("/stages/2048/evaluations: found individual 5 in row 2") != std::string::npos);
    history = sample_history();
    history.stages[0].validation.document_nll.pop_back();
    CHECK(message_of_write(file, history)
              .find("/stages/2048/validation/document_nll: found 2 values, expected 3") !=
          std::string::npos);
    for (const char* name : {"", ".", "a/b", "2048"}) {
        INFO("stage name ", name);
        history = sample_history();
        history.stages[1].name = name;
        CHECK_FALSE(message_of_write(file, history).empty());
    }
    CHECK(read_whole_file(file) == before);
    CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("an exception before the rename leaves the old file and nothing else") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    write_history(file, sample_history());
    const auto before = read_whole_file(file);
    RunHistory history = sample_history();
    history.seed = 1;
    std::size_t files_at_rename = 0;
    CHECK_THROWS_AS(write_history(file, history,
                                  [&] {
                                      files_at_rename = files_in(folder.path());
                                      throw std::domain_error{"lock lost"};
                                  }),
                    std::domain_error);
    CHECK(files_at_rename == 2);
    CHECK(read_whole_file(file) == before);
    CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a full disk leaves the old file and no temporary, and names both errno and path") {
    const TemporaryFolder folder;
    const std::filesystem::path file = folder.path() / "search.h5";
    write_history(file, sample_history());
    const auto before = read_whole_file(file);
    std::string message;
    {
        const FileSizeLimit limit{20'000};
        message = message_of_write(file, sample_history({50, 6, 3}));
    }
    CHECK(message.find("cannot write " + file.string()) == 0);
    CHECK(message.find("File too large (errno 27)") != std::string::npos);
    CHECK(read_whole_file(file) == before);
    CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("a folder that is gone, or a folder in the place of the file, is named with errno") {
    const TemporaryFolder folder;
    CHECK(message_of_write(folder.path() / "gone" / "search.h5", sample_history())
              .find("No such file or directory (errno 2)") != std::string::npos);
    std::filesystem::create_directory(folder.path() / "search.h5");
    CHECK(message_of_write(folder.path() / "search.h5", sample_history())
              .find("Is a directory (errno 21)") != std::string::npos);
    CHECK(files_in(folder.path()) == 1);
}
