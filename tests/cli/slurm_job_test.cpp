// SPDX-License-Identifier: Apache-2.0
#include "cli/slurm_job.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <stdlib.h>  // setenv is POSIX

#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "tests/evaluator/temporary_folder.hpp"

using namespace longrope::cli;
using longrope::tests::TemporaryFolder;
using std::chrono::seconds;

namespace {

constexpr seconds patience{60};  // for an answer that comes; no test waits for it

/// Sets or unsets variables of this process until it goes.
class Environment {
public:
    explicit Environment(const std::map<std::string, std::optional<std::string>>& variables) {
        for (const auto& [name, value] : variables) {
            const char* old = std::getenv(name.c_str());
            old_[name] = old ? std::optional<std::string>{old} : std::nullopt;
            set(name, value);
        }
    }
    Environment(const Environment&) = delete;
    Environment& operator=(const Environment&) = delete;
    ~Environment() {
        for (const auto& [name, value] : old_) set(name, value);
    }

private:
    static void set(const std::string& name, const std::optional<std::string>& value) {
        if (value) {
            setenv(name.c_str(), value->c_str(), 1);
        } else {
            unsetenv(name.c_str());
        }
    }
    std::map<std::string, std::optional<std::string>> old_;
};

/// A PATH that holds a squeue of our own and nothing else.
class FakeSqueue {
public:
    explicit FakeSqueue(const std::string& script)
        : environment_{{{"PATH", folder_.path().string()}}} {
        const auto file = folder_.write("squeue", "#!/bin/sh\n" + script);
        std::filesystem::permissions(file, std::filesystem::perms::owner_all);
    }
    [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }

private:
    TemporaryFolder folder_;
    Environment environment_;
};

SlurmJob job_17() {
    SlurmJob job;
    job.id = "17";
    return job;
}

std::optional<seconds> known(const SlurmTimeLeft& left) {
    const auto* value = std::get_if<seconds>(&left);
    return value ? std::optional{*value} : std::nullopt;
}

std::string reason(const SlurmTimeLeft& left) {
    const auto* unknown = std::get_if<TimeUnknown>(&left);
    return unknown ? unknown->reason : "it is known";
}

}  // namespace

TEST_CASE("the time left is read as squeue writes it") {
    const std::vector<std::pair<std::string, std::int64_t>> cases{
        {"0:00", 0},
        {"0:59", 59},
        {"59:07", 3547},
        {"1:00:00", 3600},
        {"23:59:59", 86'399},
        {"1-00:00:00", 86'400},
        {"14-02:03:04", 1'216'984},
        {"  1:02\n", 62},
        {"45", 45},
        {"9999999-00:00:00", 1'000'000'000},  // a limit in name only: 31 years will do
    };
    for (const auto& [text, left] : cases) {
        INFO(text);
        CHECK(known(parse_time_left(text)) == seconds{left});
    }
    CHECK(std::holds_alternative<NoTimeLimit>(parse_time_left("UNLIMITED")));
}

TEST_CASE("an answer that tells no time is no time, and is quoted") {
    for (const std::string text :
         {"", "N/A", "NOT_SET", "INVALID", "PARTITION_LIMIT", "1:2:3:4", "1-", "-1:00", "1::2",
          "12:3x", "1-2-3", "2026-11-23T17:13:45", "99999999999999999999:00", "1:00 1:00"}) {
        INFO(text);
        CHECK(reason(parse_time_left(text)) ==
              "it answered \"" + text +
                  "\", expected [days-][[hours:]minutes:]seconds or UNLIMITED");
    }
}

TEST_CASE("squeue is asked for the time left of this job alone") {
    const FakeSqueue squeue{"echo \"$@\" >\"${0%/*}/asked\"\necho 1-00:00:10\n"};
    CHECK(known(find_time_left(job_17(), patience)) == seconds{86'410});
    std::ifstream asked{squeue.folder() / "asked"};
    std::string words;
    std::getline(asked, words);
    CHECK(words == "-h -j 17 -o %L");
}

TEST_CASE("what squeue says besides its answer does not hide it") {
    const FakeSqueue squeue{"echo 'squeue: warning: slow today' >&2\necho 5:00\n"};
    CHECK(known(find_time_left(job_17(), patience)) == seconds{300});
}

TEST_CASE("no squeue, one that fails and one that talks nonsense are reasons, not failures") {
    {
        const TemporaryFolder empty;
        const Environment path{{{"PATH", empty.path().string()}}};
        const std::string said = reason(find_time_left(job_17(), patience));
        CHECK(said.find("squeue -h -j 17 -o %L exited with status 127") == 0);
        CHECK(said.find("No such file") != std::string::npos);
    }
    const std::vector<std::pair<std::string, std::string>> cases{
        {"echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
         "squeue -h -j 17 -o %L exited with status 1: slurm_load_jobs error: Invalid job id "
         "specified"},
        {"kill -9 $$", "squeue -h -j 17 -o %L was killed by signal 9 (Killed)"},
        {"", "squeue -h -j 17 -o %L: it answered \"\", expected"},
        {"echo N/A", "squeue -h -j 17 -o %L: it answered \"N/A\", expected"},
        {"echo UNLIMITED later", "squeue -h -j 17 -o %L: it answered \"UNLIMITED later\""},
    };
    for (const auto& [script, expected] : cases) {
        INFO(script);
        const FakeSqueue squeue{script};
        const std::string said = reason(find_time_left(job_17(), patience));
        CHECK_MESSAGE(said.find(expected) == 0, said);
    }
}

TEST_CASE("a squeue that hangs is given up and killed") {
    // The marker appears only if it outlives the question.
    const FakeSqueue squeue{"/bin/sleep 3600\necho >\"${0%/*}/outlived\"\n"};
    const SlurmTimeLeft left = find_time_left(job_17(), std::chrono::milliseconds{100});
    CHECK(reason(left) == "squeue -h -j 17 -o %L: no answer within 0.1 s");
    CHECK_FALSE(std::filesystem::exists(squeue.folder() / "outlived"));
}

TEST_CASE("a job without a limit is one") {
    const FakeSqueue squeue{"echo UNLIMITED\n"};
    CHECK(std::holds_alternative<NoTimeLimit>(find_time_left(job_17(), patience)));
}

TEST_CASE("an end that Slurm puts into the environment needs no squeue") {
    const FakeSqueue squeue{"echo 1:00\n"};
    const auto now =
        std::chrono::duration_cast<seconds>(std::chrono::system_clock::now().time_since_epoch());
    SlurmJob job = job_17();
    job.end_time = fmt::format("{}", now.count() + 3600);
    const std::optional<seconds> left = known(find_time_left(job, patience));
    REQUIRE(left);
    CHECK(left->count() > 60);
    CHECK(left->count() <= 3600);
    job.end_time = fmt::format("{}", now.count() - 5);
    CHECK(known(find_time_left(job, patience)) == seconds{0});
    for (const char* nonsense : {"", "0", "soon", "-1"}) {
        job.end_time = nonsense;
        INFO(nonsense);
        CHECK(known(find_time_left(job, patience)) == seconds{60});
    }
}

TEST_CASE("the job is taken from the environment") {
    Environment outside{{{"SLURM_JOB_ID", std::nullopt},
                         {"SLURM_RESTART_COUNT", std::nullopt},
                         {"SLURM_ARRAY_JOB_ID", std::nullopt},
                         {"SLURM_ARRAY_TASK_ID", std::nullopt},
                         {"SLURM_JOB_END_TIME", std::nullopt}}};
    CHECK_FALSE(slurm_job());
    const Environment first{{{"SLURM_JOB_ID", "17"}}};
    REQUIRE(slurm_job());
    CHECK(slurm_job()->id == "17");
    CHECK(slurm_job()->restarts == "0");
    CHECK(slurm_job()->end_time.empty());
    const Environment later{{{"SLURM_RESTART_COUNT", "2"}, {"SLURM_JOB_END_TIME", "1795454025"}}};
    CHECK(slurm_job()->restarts == "2");
    CHECK(slurm_job()->end_time == "1795454025");
    const Environment task{{{"SLURM_ARRAY_JOB_ID", "17"}, {"SLURM_ARRAY_TASK_ID", "3"}}};
    CHECK(slurm_job()->id == "17_3");
}

TEST_CASE("a search leaves a tenth of the time, and no more than three minutes") {
    CHECK(margin_before_end(seconds{0}) == seconds{0});
    CHECK(margin_before_end(seconds{60}) == seconds{6});
    CHECK(margin_before_end(seconds{1800}) == seconds{180});
    CHECK(margin_before_end(seconds{864'000}) == seconds{180});
}

TEST_CASE("a time limit counts from when the search began, and leaves as much") {
    const TimePoint begin{seconds{1000}};
    CHECK_FALSE(end_of_search(0.0, begin, std::nullopt).has_value());
    CHECK(end_of_search(0.5, begin, std::nullopt) == begin + std::chrono::milliseconds{500});
    CHECK(end_of_search(3600.0, begin, std::nullopt) == begin + seconds{3420});
    CHECK(end_of_search(1e9, begin, std::nullopt) > begin);  // the longest that is accepted
}

TEST_CASE("of a time limit and the end of a job the earlier counts") {
    const TimePoint begin{seconds{1000}};
    const TimePoint early = begin + seconds{600};
    const TimePoint late = begin + seconds{7200};
    CHECK(end_of_search(0.0, begin, late) == late);
    CHECK(end_of_search(3600.0, begin, early) == early);
    CHECK(end_of_search(3600.0, begin, late) == begin + seconds{3420});
}

TEST_CASE("the log says when the job ends, or why that is not known") {
    SlurmJob job = job_17();
    job.restarts = "2";
    const std::string line = describe(job, seconds{7200});
    CHECK(line.find("Slurm job 17 (restart 2) ends at 20") == 0);
    CHECK(line.find(", in 2 h 00 min: the search stops 3 min 00 s before that") !=
          std::string::npos);
    CHECK(describe(job, NoTimeLimit{}) == "Slurm job 17 (restart 2) has no time limit");
    CHECK(describe(job, TimeUnknown{"no squeue"}) ==
          "Slurm job 17 (restart 2): its end is unknown (no squeue); a signal or "
          "run.time_limit_seconds stops the search");
}
