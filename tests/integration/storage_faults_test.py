# SPDX-License-Identifier: Apache-2.0
"""Checks what a search does when the disk or another coordinator comes in its way.

Usage: python tests/run_python_test.py tests/integration/storage_faults_test.py
       python tests/integration/storage_faults_test.py --sweep         (every call fails)
       python tests/integration/storage_faults_test.py --slow SECONDS  (an fsync takes so long)
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
from interrupted_run import Call, Interruption, call_at, calls, kept_files, watched
from search_run import (
    EXIT_DONE,
    EXIT_IN_USE,
    PATIENCE_SECONDS,
    Configuration,
    Content,
    SearchRun,
    assert_same_search,
    changed,
    hanging,
    needs_mpirun,
    synthetic_search,
    wait_until,
)
from stored_record import StoredRecord

EXIT_SYSTEM_ERROR = 1
# In the default tests.
STRIDE = 13  # of the calls that fail
SLOW_SECONDS = 8.0

# A full disk, a full quota, a disk that breaks, a file system that became read-only.
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
MOST_FAILURES = 10  # of a sweep, before it is given up


class StorageTest(unittest.TestCase):
    """A small search of one rank, held against one that met with nothing."""

    search = synthetic_search(
        population=4,
        parents=2,
        mutations=2,
        crossovers=2,
        iterations=1,
        documents=1,
        duration_ms=5,
    )

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def new_run(
        self,
        name: str,
        configuration: Configuration | None = None,
        *,
        ranks: int = 1,
        beside: SearchRun | None = None,
    ) -> SearchRun:
        """`beside` another: a second job on the same run directory."""
        configuration = configuration or self.search
        if beside is not None:
            configuration = changed(configuration, run={"directory": str(beside.history.parent)})
        run = SearchRun(self.folder / name, configuration, ranks)
        self.addCleanup(run.clean_up)
        return run

    def uninterrupted(self) -> Content:
        run = self.new_run("uninterrupted")
        run.complete()
        return run.content()

    def expect_the_end(self, run: SearchRun, reference: Content) -> None:
        assert_same_search(self, reference, run.content(), besides={"/@configuration"})
        left = sorted(path.name for path in run.history.parent.iterdir())
        self.assertEqual(left, ["log.txt", "search.h5"])


class FailingCalls(StorageTest):
    """The system refuses a call."""

    stride = STRIDE

    def test_a_call_that_fails_ends_the_search_with_1_and_the_next_goes_on(self) -> None:
        """Once, as on a disk that hiccups, and from then on, as on one that stays full."""
        reference = self.uninterrupted()
        turn = 0
        for action in ("fail", "fail_on"):
            at, hit, failures = 1, True, 0
            while hit and failures < MOST_FAILURES:
                # By hand every call meets every error, by default they take turns.
                errors = ERRORS if self.stride == 1 else (ERRORS[turn % len(ERRORS)],)
                for error in errors:
                    failures += 1
                    interruption = Interruption(at, action, error)
                    with self.subTest(str(interruption)):
                        hit = self.fail_at(interruption, reference)
                        failures -= 1
                turn += 1
                at += self.stride
            self.assertGreater(at, 30, "too few calls: is the library in place?")

    def fail_at(self, interruption: Interruption, reference: Content) -> bool:
        """@returns whether the search had that many calls"""
        run = self.new_run(f"{interruption} {time.monotonic_ns()}")
        record = StoredRecord(run)
        status = run.run(environment=interruption.environment(run))
        run.expect_silence()
        call = call_at(run, interruption.at)
        if call is None or (status == EXIT_DONE and is_clean_up(call)):
            self.assertEqual(status, EXIT_DONE, run.said())
            self.assertEqual(run.state(), "complete")
        else:
            self.assertEqual(status, EXIT_SYSTEM_ERROR, f"{call}: {run.said()}")
            # The message has the path as the program was given it.
            self.assertIn(os.strerror(interruption.error), run.said())
            self.assertIn(f"(errno {interruption.error})", run.said())
            self.assertRegex(run.said(), rf"cannot [\w ]+ {re.escape('run')}")
        record.check()
        run.complete(environment=watched(run))
        record.check()
        self.expect_the_end(run, reference)
        shutil.rmtree(run.folder)
        return call is not None

    def test_a_call_that_fails_while_a_stale_lock_is_taken_over_is_told(self) -> None:
        with subprocess.Popen(["true"]) as ended:
            pass
        stale = (
            f"host={socket.gethostname()} pid={ended.pid} process_start=1 "
            f"pid_namespace={os.readlink('/proc/self/ns/pid')} job_id= restart_count=0 token=left\n"
        )
        for at in range(1, 15):
            interruption = Interruption(at, "fail", errno.EIO)
            with self.subTest(str(interruption)):
                run = self.new_run(f"stale, {interruption}")
                lock = run.history.with_name("lock")
                lock.parent.mkdir()
                lock.write_text(stale)
                status = run.run(environment=interruption.environment(run))
                call = call_at(run, at)
                assert call is not None
                if status != EXIT_DONE or not is_clean_up(call):
                    self.assertEqual(status, EXIT_SYSTEM_ERROR, f"{call}: {run.said()}")
                    self.assertIn(f"(errno {errno.EIO})", run.said())
                if lock.exists():
                    self.assertEqual(lock.read_text(), stale, call)
                run.complete()

    def test_a_write_that_takes_half_is_continued(self) -> None:
        reference = self.uninterrupted()
        counted = self.new_run("counted")
        counted.run(environment=watched(counted))
        writes = [call.number for call in calls(counted) if call.name == "write"]
        for number in writes[:: self.stride]:
            with self.subTest(call=number):
                run = self.new_run(f"half at call {number}")
                interruption = Interruption(number, "half")
                self.assertEqual(run.run(environment=interruption.environment(run)), EXIT_DONE)
                self.expect_the_end(run, reference)

    def test_a_file_system_without_hard_links_has_a_lock_all_the_same(self) -> None:
        reference = self.uninterrupted()
        counted = self.new_run("counted")
        counted.run(environment=watched(counted))
        link = next(call.number for call in calls(counted) if call.name == "link")
        run = self.new_run("no links", hanging(self.search, 4))
        run.start(environment=Interruption(link, "fail", errno.EPERM).environment(run))
        run.wait_for_scores(1)
        other = self.new_run("other", beside=run)
        self.assertEqual(other.run(), EXIT_IN_USE, other.said())
        run.kill_job()
        run.configure(self.search)
        run.complete()
        self.expect_the_end(run, reference)


def is_clean_up(call: Call) -> bool:
    """What a search does with files it is done with; it has nothing to lose there."""
    return call.name == "unlink" or (call.name == "close" and call.path.name == "log.txt")


SLOW_TASKS = {"evaluator.synthetic": {"duration_ms": 40}}


class VanishedDirectory(StorageTest):
    def test_a_run_directory_that_vanishes_ends_the_search_and_is_used_again_if_it_returns(
        self,
    ) -> None:
        reference = self.uninterrupted()
        # Noticed when the next result is stored, and without one when the lock is touched.
        run = self.new_run("vanished", hanging(self.search, 8))
        record = StoredRecord(run)
        run.start(environment=watched(run))
        run.wait_for_scores(5)
        away = run.folder / "away"
        run.history.parent.rename(away)
        self.assertEqual(run.finish(), EXIT_SYSTEM_ERROR, run.said())
        self.assertRegex(run.said(), r"run/[\w.]+.*(No such file or directory|removed)")
        run.expect_silence()
        self.assertFalse(run.history.parent.exists())
        away.rename(run.history.parent)
        record.check()
        self.assertGreaterEqual(len(record.results), 5)
        run.configure(self.search)
        run.complete(environment=watched(run))
        record.check()
        self.expect_the_end(run, reference)


class SeveralCoordinators(StorageTest):
    """More than one coordinator wants the run directory."""

    def test_of_several_that_start_at_once_over_a_stale_lock_one_goes_on(self) -> None:
        reference = self.uninterrupted()
        endless = hanging(self.search, 4)
        run = self.new_run("killed", endless)
        run.start()
        run.wait_for_scores(3)
        run.kill_job()
        left = run.scores()
        # Touched a moment ago, but its process is gone.
        (run.history.parent / "lock").touch()
        heirs = [self.new_run(f"heir {number}", endless, beside=run) for number in range(4)]
        jobs = [heir.start() for heir in heirs]
        wait_until(lambda: sum(job.poll() is None for job in jobs) <= 1, "all but one have ended")
        (winner,) = [heir for heir, job in zip(heirs, jobs, strict=True) if job.poll() is None]
        winner.wait_for_scores(len(left) + 1)
        winner.kill_job()
        ends = sorted(job.returncode for job in jobs)
        said = [heir.said() for heir in heirs]
        self.assertEqual(ends, [-signal.SIGKILL] + 3 * [EXIT_IN_USE], said)
        self.assertLessEqual(left.items(), run.scores().items())
        run.configure(self.search)
        run.complete()
        self.expect_the_end(run, reference)

    def test_a_coordinator_that_wakes_up_after_a_requeue_overwrites_nothing(self) -> None:
        """Asleep between two snapshots, or after its check of the lock, just before its rename."""
        reference = self.uninterrupted()
        for asleep in ("between snapshots", "before its rename"):
            for awake in ("while its successor works", "after its successor has ended"):
                with self.subTest(asleep=asleep, awake=awake):
                    self.wake_up_after_a_requeue(f"{asleep}, {awake}", asleep, awake, reference)

    def wake_up_after_a_requeue(
        self, name: str, asleep: str, awake: str, reference: Content
    ) -> None:
        slow = changed(self.search, **SLOW_TASKS)
        run = self.new_run(name, slow)
        job = {"SLURM_JOB_ID": "77", "SLURM_RESTART_COUNT": "0"}
        if asleep == "before its rename":
            zombie = self.start_and_stop_before_a_rename(run, job)
        else:
            run.configure(hanging(slow, 10))
            zombie = run.start(environment=watched(run) | job)
            run.wait_for_scores(5)
            zombie.send_signal(signal.SIGSTOP)
        record = StoredRecord(run)
        record.check()
        self.assertGreater(len(record.results), 0)

        successor = self.new_run(f"successor of {name}", slow, beside=run)
        successor.start(environment=watched(run) | job | {"SLURM_RESTART_COUNT": "1"})
        if awake == "while its successor works":
            wait_until(lambda: len(run.scores()) > len(record.results), "the successor stores")
            zombie.send_signal(signal.SIGCONT)
        self.assertEqual(successor.finish(), EXIT_DONE, successor.said())
        history = run.history.read_bytes()
        if awake == "after its successor has ended":
            zombie.send_signal(signal.SIGCONT)
        self.assertEqual(run.finish(), EXIT_SYSTEM_ERROR, run.said())
        self.assertRegex(run.said(), "lock was (taken over by|removed)|cannot rename")
        self.assertEqual(run.history.read_bytes(), history, "the zombie wrote")
        run.expect_silence()
        record.check()
        self.expect_the_end(run, reference)

    def start_and_stop_before_a_rename(
        self, run: SearchRun, job: dict[str, str]
    ) -> subprocess.Popen[bytes]:
        """Starts a search that stops itself before a rename of its history, when some is stored."""
        counted = self.new_run(f"counted for {run.folder.name}", changed(self.search, **SLOW_TASKS))
        counted.run(environment=watched(counted))
        made = len(calls(counted))
        for at in range(made // 2, made):  # the order is not quite the same each time
            stop = Interruption(at, "stop").environment(run)
            zombie = run.start(environment=stop | job)
            os.waitpid(zombie.pid, os.WUNTRACED)  # until it has stopped
            stopped_at = call_at(run, at)
            if stopped_at is not None and stopped_at.name == "rename" and run.scores():
                return zombie
            run.clean_up()
            for folder in (run.history.parent, kept_files(run)):
                shutil.rmtree(folder)
        raise AssertionError("no call was a rename")


class SlowDisk(StorageTest):
    """An fsync takes longer than lease and watchdog, and so does touching the lock, or logging."""

    seconds = SLOW_SECONDS

    @needs_mpirun()
    def test_while_an_fsync_hangs_workers_go_on_and_none_is_lost(self) -> None:
        # All of it in less time than an fsync takes, so that much falls into one.
        quick = synthetic_search(duration_ms=20)
        silence = 0.75 * self.seconds  # more than one that lives may wait for a core
        patience = {"lease_seconds": silence, "watchdog_seconds": silence}
        run = self.new_run("slow", changed(quick, run=patience), ranks=3)
        slow = Interruption(8, "slow", seconds=self.seconds)  # all but the lock's
        run.start(environment=slow.environment(run))
        assert run.job is not None
        run.job.wait(PATIENCE_SECONDS + 10 * self.seconds)
        run.expect_silence()
        self.assertEqual(run.state(), "complete", run.said())
        self.assertNotIn("is lost", run.said())
        self.assertNotIn("no word from the coordinator", run.said())
        hangs = [call.time for call in calls(run) if call.name == "fsync"]
        finished = self.finish_times(run)

        def inside(times: list[float]) -> list[int]:
            return [sum(begin < at < begin + self.seconds for at in times) for begin in hangs[1:]]

        self.assertGreater(max(inside(finished)), 20, inside(finished))
        touches = [call.time for call in calls(run) if call.name == "futimens"]
        self.assertGreater(sum(inside(touches)), 0, "the lock is touched meanwhile")

    @needs_mpirun()
    def test_while_the_log_takes_nothing_workers_go_on_and_none_is_lost(self) -> None:
        silence = 0.75 * self.seconds
        patience = {"lease_seconds": silence, "watchdog_seconds": silence}
        tasks = synthetic_search(duration_ms=int(20 * self.seconds))  # longer than the watchdog
        run = self.new_run("full pipe", changed(tasks, run=patience), ranks=3)
        run.history.parent.mkdir()
        log = run.history.with_name("log.txt")
        os.mkfifo(log)
        pipe = os.open(log, os.O_RDWR | os.O_NONBLOCK)
        self.addCleanup(os.close, pipe)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(pipe, b"\n")
        run.start()
        assert run.job is not None
        wait_until(run.history.exists, "the search begins")
        begin = time.monotonic()
        wait_until(lambda: run.state() == "complete", "the search is complete")
        self.assertGreater(time.monotonic() - begin, silence)
        self.assertIsNone(run.job.poll(), "it waits for its log")
        logged = b""

        def read_what_there_is() -> None:
            nonlocal logged
            with contextlib.suppress(BlockingIOError):
                while True:
                    logged += os.read(pipe, 65536)

        def ends() -> bool:
            read_what_there_is()
            return run.job.poll() is not None

        wait_until(ends, "the search ends")
        read_what_there_is()
        run.expect_silence()
        self.assertNotIn("is lost", run.said())
        self.assertNotIn("no word from the coordinator", run.said())
        self.assertIn(b"starting a new search", logged)
        self.assertIn(b"the search is complete", logged)

    def finish_times(self, run: SearchRun) -> list[float]:
        """When individuals were finished, in seconds since 1970."""
        with h5py.File(run.history) as file:
            return [float(time) / 1e9 for time in file["stages/long/evaluations"]["finished"]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sweep", action="store_true", help="every call fails, in every way")
    parser.add_argument("--slow", type=float, help="an fsync that takes so many seconds")
    arguments = parser.parse_args()
    tests: list[unittest.TestCase] = []
    if arguments.sweep:
        FailingCalls.stride = 1
        tests.extend(unittest.defaultTestLoader.loadTestsFromTestCase(FailingCalls))
    if arguments.slow is not None:
        SlowDisk.seconds = arguments.slow
        tests.extend(unittest.defaultTestLoader.loadTestsFromTestCase(SlowDisk))
    if not tests:
        parser.error("give --sweep or --slow")
    return 0 if unittest.TextTestRunner().run(unittest.TestSuite(tests)).wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
