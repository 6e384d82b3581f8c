# SPDX-License-Identifier: Apache-2.0
"""Kills searches at any time and at every call: nothing stored is lost, and the end is the same.

Usage: python tests/run_python_test.py tests/integration/crash_test.py      (what CTest runs)
       python tests/integration/crash_test.py --runs 500 [--seed S]         (random kills)
       python tests/integration/crash_test.py --seconds 3600                (as many as fit)
       python tests/integration/crash_test.py --sweep                       (a kill at every call)

Blackbox: a search on 10 ms tasks under mpirun, while SIGKILL hits the whole job, its launcher, the
coordinator, workers and evaluators at random times; the same command again, until it is complete.
Whitebox: a search of one rank that is killed before, after or in the middle of its K-th call on a
file of the run directory, for every K; also while it takes over what a killed one has left.

After each job every result that was ever announced as stored must be there with the same bits
(stored_record.py); the complete history must hold the same bytes as that of a search that nobody
interrupted; no process, no lock and no temporary file may be left.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import random
import shutil
import signal
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterator
from pathlib import Path

from interrupted_run import Interruption, call_at, calls, kept_files, watched
from search_run import (
    EXIT_DONE,
    Configuration,
    Content,
    Process,
    SearchRun,
    assert_same_search,
    changed,
    needs_mpirun,
    synthetic_search,
    wait_until,
)
from stored_record import StoredRecord

# Of the default tests.
SEED = 1
SECONDS = 20.0  # of random kills
STRIDE = 15  # of the calls that are interrupted

# Of mpirun, when it cannot fork: nothing of ours has begun.
SYSTEM_IS_FULL = "system limit on number of children"

KILLING = ("kill", "kill_after", "cut_short")
VICTIMS = ("job", "launcher", "coordinator", "workers", "evaluators")
MOST_JOBS = 4  # that are attacked, before one is left in peace
EARLY = 0.2  # the share of attacks that do not wait until all ranks are at work
MOST_FAILURES = 10  # of a sweep, before it is given up
MOST_ATTACKS = 2  # on one job: a third on its evaluators might count as the fault of a task
LONGEST_DELAY = 0.7  # seconds; ranks that are left in peace take about as long for the search


class Tally:
    """What was done and seen, in numbers."""

    def __init__(self) -> None:
        self.begun = time.monotonic()
        self.counts: collections.Counter[str] = collections.Counter()

    def add(self, record: StoredRecord) -> None:
        self.counts["results stored"] += len(record.results)
        self.counts["announcements in the log"] += record.announcements
        self.counts["versions of histories"] += record.versions

    def __str__(self) -> str:
        lines = [f"{number:9,} {what}" for what, number in self.counts.items()]
        return "\n".join([*lines, f"{time.monotonic() - self.begun:9,.0f} seconds"])


class CrashTest(unittest.TestCase):
    """Searches in folders of their own, held against one that was not interrupted."""

    tally = Tally()
    search: Configuration

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def new_run(self, name: str, ranks: int = 1, **settings: float) -> SearchRun:
        run = SearchRun(self.folder / name, changed(self.search, run=settings), ranks)
        self.addCleanup(run.clean_up)
        return run

    def uninterrupted(self) -> Content:
        run = self.new_run("uninterrupted")
        run.complete()
        return run.content()

    def expect_the_end(self, run: SearchRun, reference: Content) -> None:
        """The search is complete and the same, and nothing else is left of it."""
        run.expect_silence()
        assert_same_search(self, reference, run.content(), besides={"/@configuration"})
        left = sorted(path.name for path in run.history.parent.iterdir())
        self.assertEqual(left, ["log.txt", "search.h5"])


class Blackbox(CrashTest):
    """Kills at random times."""

    search = synthetic_search(
        population=8, parents=4, mutations=4, crossovers=4, iterations=5, duration_ms=10
    )
    seed = SEED
    seconds = SECONDS
    least_runs = 5  # on a slow machine too
    most_runs = sys.maxsize

    @needs_mpirun()
    def test_searches_killed_at_random_times_lose_nothing_stored(self) -> None:
        reference = self.uninterrupted()
        end = time.monotonic() + self.seconds
        for number in itertools.takewhile(
            lambda number: (
                number <= self.most_runs and (number <= self.least_runs or time.monotonic() < end)
            ),
            itertools.count(1),
        ):
            with self.subTest(seed=self.seed, run=number):
                draw = random.Random(f"{self.seed} {number}")
                self.attack_search(draw, f"{number}", reference)
            self.tally.counts["runs"] = number
        self.assertGreater(self.tally.counts["results stored"], 0, "nothing could have been lost")

    def attack_search(self, draw: random.Random, name: str, reference: Content) -> None:
        run = self.new_run(
            name,
            ranks=draw.choice((2, 3, 4)),
            snapshot_seconds=draw.choice((0, 30)),
            lease_seconds=2,
            watchdog_seconds=2,
        )
        record = StoredRecord(run)
        story: list[str] = []  # what happened, for whoever has to find out why
        jobs = 0
        try:
            while jobs == 0 or not (run.history.exists() and run.state() == "complete"):
                run.start(environment=watched(run) | self.mpi_files())
                story += self.attack_job(run, draw) if jobs < MOST_JOBS else ["left in peace"]
                if not self.ends_by_itself(run):
                    self.tally.counts["jobs that the system refused to start"] += 1
                    run.clean_up()
                    continue
                run.expect_silence()
                record.check()
                jobs += 1
                self.assertLessEqual(jobs, MOST_JOBS + 1, "left in peace, it did not complete")
            if (run.history.parent / "lock").exists():  # killed after its last snapshot
                self.tally.counts["locks left by complete searches, gone after another start"] += 1
                run.ranks = 1
                run.complete(environment=watched(run))
            self.expect_the_end(run, reference)
            self.assertGreater(len(record.results), 0)
        except Exception as failure:
            report = f"{failure}\nafter {story}\n{run.said()}"
            print(f"\nseed {self.seed}, run {name}: {report}", file=sys.stderr, flush=True)
            raise AssertionError(report) from failure
        self.tally.add(record)
        self.tally.counts["jobs"] += jobs
        shutil.rmtree(run.folder)

    def ends_by_itself(self, run: SearchRun) -> bool:
        """Whether the job ends; mpirun may wait for ever for processes that it could not start."""

        def refused() -> bool:
            return SYSTEM_IS_FULL in run.said()

        assert run.job is not None
        wait_until(lambda: run.job.poll() is not None or refused(), "the job has ended")
        return not refused()

    def mpi_files(self) -> dict[str, str]:
        """Lets Open MPI keep its files where they go with ours: killed, it leaves them."""
        folder = self.folder / "mpi"
        folder.mkdir(exist_ok=True)
        return {
            "OMPI_MCA_orte_tmpdir_base": str(folder),
            "OMPI_MCA_btl_vader_backing_directory": str(folder),
        }

    def attack_job(self, run: SearchRun, draw: random.Random) -> Iterator[str]:
        """Kills some of a job's processes at some times, until it has ended or is left alone."""
        at_work = draw.random() >= EARLY
        if at_work:
            self.wait_for_all_ranks(run)
        for _ in range(draw.randint(1, MOST_ATTACKS)):
            wanted = draw.choice(VICTIMS)
            delay = draw.uniform(0, LONGEST_DELAY)
            time.sleep(delay)
            processes = run.processes()
            at_work = at_work or all_supervise(processes, run.ranks)
            if wanted in ("coordinator", "workers") and not at_work:
                wanted = "job"  # within MPI's start-up the others would wait for it for minutes
            victims = choose(processes, wanted, draw)
            if not victims:
                return  # the job has ended
            for process in victims:
                process.kill()
            self.tally.counts[f"attacks on {wanted}"] += 1
            yield f"{delay:.3f} s later {wanted}: {[process.pid for process in victims]}"
            if wanted not in ("workers", "evaluators"):
                return

    def wait_for_all_ranks(self, run: SearchRun) -> None:
        def at_work_or_ended() -> bool:
            assert run.job is not None
            return run.job.poll() is not None or all_supervise(run.processes(), run.ranks)

        wait_until(at_work_or_ended, "all ranks are at work")


def choose(processes: list[Process], wanted: str, draw: random.Random) -> list[Process]:
    """The processes to kill."""
    if wanted == "job":
        return [process for process in processes if not process.is_evaluator]
    if wanted == "launcher":
        return [process for process in processes if process.is_launcher]
    if wanted == "coordinator":
        return [process for process in processes if process.is_rank and process.rank == 0]
    kind = [
        process
        for process in processes
        if (process.is_evaluator if wanted == "evaluators" else process.is_rank and process.rank)
    ]
    return draw.sample(kind, draw.randint(1, len(kind))) if kind else []


def all_supervise(processes: list[Process], ranks: int) -> bool:
    """Whether every rank has come so far that it has an evaluator."""
    return {process.rank for process in processes if process.is_evaluator} >= set(range(ranks))


class Whitebox(CrashTest):
    """Kills at chosen calls."""

    search = synthetic_search(
        population=4,
        parents=2,
        mutations=2,
        crossovers=2,
        iterations=1,
        documents=1,
        duration_ms=5,
    )
    stride = STRIDE

    def test_a_search_killed_at_a_call_on_its_files_loses_nothing_stored(self) -> None:
        self.sweep("a new search", self.uninterrupted(), lambda run: None)

    def test_a_search_killed_while_it_takes_over_loses_nothing_stored(self) -> None:
        reference = self.uninterrupted()
        killed = self.killed_with_a_temporary()

        def begin(run: SearchRun) -> None:
            shutil.copytree(killed.history.parent, run.history.parent)
            shutil.copytree(kept_files(killed), kept_files(run))

        self.sweep("a takeover", reference, begin)

    def killed_with_a_temporary(self) -> SearchRun:
        """A search killed half-way, between the writing and the renaming of its history."""
        counted = self.new_run("counted")
        self.assertEqual(counted.run(environment=watched(counted)), EXIT_DONE)
        half = len(calls(counted)) // 2
        for at in range(half, half + 10):  # the order of a search's calls is not quite the same
            run = self.new_run(f"killed at call {at}")
            run.run(environment=Interruption(at, "kill").environment(run))
            names = {path.suffix for path in run.history.parent.iterdir()}
            if names == {"", ".txt", ".h5", ".tmp"}:
                return run
        raise AssertionError(f"no kill left lock, log, history and a temporary, but {names}")

    def sweep(self, what: str, reference: Content, begin: Callable[[SearchRun], None]) -> None:
        """Interrupts every call, or every stride-th, in every way, until a search has fewer."""
        for turn, action in enumerate(KILLING):
            at = 1 + turn % self.stride
            hit, failures = True, 0
            while hit and failures < MOST_FAILURES:
                interruption = Interruption(at, action)
                failures += 1
                with self.subTest(what, interruption=str(interruption)):
                    hit = self.interrupt(interruption, reference, begin)
                    failures -= 1
                at += self.stride
            self.assertGreater(at, 30, "too few calls: is the library in place?")
            self.tally.counts[f"calls of {what}, {action}"] = at - 2 * self.stride

    def interrupt(
        self, interruption: Interruption, reference: Content, begin: Callable[[SearchRun], None]
    ) -> bool:
        """@returns whether the search had that many calls"""
        run = self.new_run(f"{interruption} {time.monotonic_ns()}")
        begin(run)
        record = StoredRecord(run)
        environment = interruption.environment(run)
        record.check()
        status = run.run(environment=environment)
        hit = call_at(run, interruption.at) is not None
        self.assertEqual(status, -signal.SIGKILL if hit else EXIT_DONE, run.said())
        record.check()
        stored = len(run.scores())
        over = run.history.exists() and run.state() == "complete"
        run.complete(environment=watched(run))
        record.check()
        if not over:
            self.assertEqual(run.attribute("stored_at_start"), stored)
        self.expect_the_end(run, reference)
        self.tally.counts["kills at a call"] += hit
        self.tally.add(record)
        shutil.rmtree(run.folder)
        return hit


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, help="searches with random kills")
    parser.add_argument("--seconds", type=float, help="begin no such search after this time")
    parser.add_argument("--seed", type=int, default=SEED, help="default %(default)s")
    parser.add_argument("--sweep", action="store_true", help="a kill at every call")
    arguments = parser.parse_args()
    tests: list[unittest.TestCase] = []
    if arguments.runs is not None or arguments.seconds is not None:
        Blackbox.seed = arguments.seed
        Blackbox.most_runs = arguments.runs or sys.maxsize
        Blackbox.seconds = arguments.seconds or float("inf")
        tests.extend(unittest.defaultTestLoader.loadTestsFromTestCase(Blackbox))
    if arguments.sweep:
        Whitebox.stride = 1
        tests.extend(unittest.defaultTestLoader.loadTestsFromTestCase(Whitebox))
    if not tests:
        parser.error("give --runs, --seconds or --sweep")
    result = unittest.TextTestRunner().run(unittest.TestSuite(tests))
    print(CrashTest.tally)
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
