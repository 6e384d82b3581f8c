# SPDX-License-Identifier: Apache-2.0
"""Checks that a search stops when told to, goes on afterwards, and survives the loss of helpers.

Usage: python tests/run_python_test.py tests/integration/stop_test.py
"""

from __future__ import annotations

import json
import os
import re
import signal
import tempfile
import time
import unittest
from pathlib import Path

from search_run import (
    EXIT_DONE,
    EXIT_IN_USE,
    EXIT_INTERRUPTED_TWICE,
    EXIT_STOPPED_EARLY,
    Configuration,
    Process,
    SearchRun,
    assert_same_search,
    changed,
    hanging,
    needs_mpirun,
    run_program,
    synthetic_search,
    to_toml,
    tolerant,
    wait_until,
)

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
SLOW_SEARCH = synthetic_search(duration_ms=10)
# After which a rank counts as lost: more than one that lives may wait for a core of a busy machine.
SILENCE_SECONDS = 6


class StopTest(unittest.TestCase):
    """One search, uninterrupted and fast; the tests run it slowly, with incidents."""

    reference: SearchRun

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.reference = SearchRun(cls.folder / "reference", synthetic_search())
        cls.reference.complete()

    def new_run(self, configuration: Configuration, ranks: int = 1) -> SearchRun:
        run = SearchRun(self.folder / self.id(), configuration, ranks)
        self.addCleanup(run.clean_up)
        return run

    def new_endless_run(self, tasks: int, ranks: int = 1) -> SearchRun:
        """One that hangs after so many tasks of each evaluator, until it is stopped."""
        return self.new_run(hanging(SLOW_SEARCH, tasks), ranks)

    def assert_ends_like_the_reference(self, run: SearchRun) -> None:
        assert_same_search(
            self, self.reference.content(), run.content(), besides={"/@configuration"}
        )


class Stop(StopTest):
    """Stops on purpose."""

    def test_each_signal_ends_with_75_and_leaves_a_search_that_goes_on(self) -> None:
        run = self.new_endless_run(30)
        stored = 0
        for number in (*SIGNALS, signal.SIGHUP):
            with self.subTest(signal=number.name):
                job = run.start()
                run.wait_for_scores(stored + 10)
                job.send_signal(number)
                self.assertEqual(run.finish(), EXIT_STOPPED_EARLY, run.said())
                run.expect_silence()
                self.assertEqual(run.state(), "stopped early")
                self.assertIn(number.name, run.attribute("state_reason"))
                announced = re.search(r"(\d+) document scores are stored", run.said())
                assert announced is not None, run.said()
                stored = len(run.scores())
                self.assertEqual(int(announced[1]), stored)
                requeue = run_program("status", "run", "--should-requeue", folder=run.folder)
                self.assertEqual(requeue.returncode, 0)
        run.configure(SLOW_SEARCH)
        run.complete()
        self.assertEqual(run.attribute("stored_at_start"), stored)
        self.assert_ends_like_the_reference(run)

    def test_under_nohup_the_end_of_the_terminal_ends_no_search(self) -> None:
        run = self.new_endless_run(10)
        run.launch_options = ["nohup"]
        job = run.start()
        run.wait_for_scores(1)
        job.send_signal(signal.SIGHUP)
        run.wait_for_scores(10)
        job.send_signal(signal.SIGTERM)
        self.assertEqual(run.finish(), EXIT_STOPPED_EARLY, run.said())
        self.assertIn("SIGTERM", run.attribute("state_reason"))

    @needs_mpirun()
    def test_each_signal_to_mpirun_stops_the_ranks_and_leaves_a_search_that_goes_on(self) -> None:
        run = self.new_endless_run(20, ranks=2)
        stored = 0
        for number in SIGNALS:
            with self.subTest(signal=number.name):
                job = run.start()
                run.wait_for_scores(stored + 10)
                job.send_signal(number)
                run.expect_silence()
                self.assertEqual(run.state(), "stopped early", run.said())
                stored = len(run.scores())
        run.configure(SLOW_SEARCH)
        run.complete()
        self.assertEqual(run.attribute("stored_at_start"), stored)
        self.assert_ends_like_the_reference(run)

    def test_a_second_interrupt_ends_at_once_with_130(self) -> None:
        run = self.new_endless_run(5)
        stored = 0
        # Once told to stop, a search needs only milliseconds for its last snapshot: the second
        # interrupt may come too late for that, but not again and again.
        for _ in range(20):
            job = run.start()
            run.wait_for_scores(stored + 1)
            while job.poll() is None:
                job.send_signal(signal.SIGINT)
            run.expect_silence()
            stored = len(run.scores())
            if job.returncode == EXIT_INTERRUPTED_TWICE:
                break
            self.assertEqual(job.returncode, EXIT_STOPPED_EARLY, run.said())
        self.assertEqual(job.returncode, EXIT_INTERRUPTED_TWICE)
        run.configure(SLOW_SEARCH)
        run.complete()
        self.assert_ends_like_the_reference(run)

    def test_a_time_limit_ends_with_75_until_the_search_is_done(self) -> None:
        run = self.new_run(SLOW_SEARCH)
        self.assertEqual(run.run("--time-limit", "0.5"), EXIT_STOPPED_EARLY, run.said())
        self.assertEqual(run.state(), "stopped early")
        self.assertIn("time limit", run.attribute("state_reason"))
        run.complete("--time-limit", "1000")
        self.assert_ends_like_the_reference(run)

    def test_a_stop_rule_ends_the_evolution_and_without_it_the_search_goes_on(self) -> None:
        run = self.new_run(changed(synthetic_search(), stage={"max_evaluations": 40}))
        run.complete()
        self.assertIn("the evolution ends after 1 iterations, by stage.max_evaluations", run.said())
        said = run_program("status", "run", folder=run.folder).stdout
        self.assertIn("2 of 2 generations, 32 of 32 individuals finished", said)
        self.assertIn("evolution ended by stage.max_evaluations", said)
        self.assertIn(
            "is complete; nothing is left to do",
            run_program("search", "search.toml", folder=run.folder).stdout,
        )
        (run.folder / "search.toml").write_text(to_toml(synthetic_search()), encoding="utf-8")
        run.complete()
        self.assertIn(
            "evolution ended by stage.iterations",
            run_program("status", "run", folder=run.folder).stdout,
        )
        self.assertEqual(run_program("verify", "run", folder=run.folder).returncode, EXIT_DONE)

    def test_a_search_that_gets_nowhere_is_requeued_twice_and_no_more(self) -> None:
        run = self.new_endless_run(5)
        wanted = []
        for gets_on in (False, False, False, True, False, False, False):
            stored = len(run.scores())
            job = run.start(*(() if gets_on else ("--time-limit", "1e-9")))
            if gets_on:
                run.wait_for_scores(stored + 1)
                job.terminate()
            self.assertEqual(run.finish(), EXIT_STOPPED_EARLY, run.said())
            self.assertEqual(len(run.scores()) > stored, gets_on)
            requeue = run_program("status", "run", "--should-requeue", folder=run.folder)
            wanted.append(requeue.returncode == 0)
        self.assertEqual(wanted, [True, True, False, True, True, True, False])

    @needs_mpirun()
    def test_a_complete_search_says_so_and_is_left_alone(self) -> None:
        run = self.new_run(synthetic_search())
        run.complete()
        history = run.history.read_bytes()
        for ranks in (1, 2):
            run.ranks = ranks
            run.run()
            self.assertIn("is complete; nothing is left to do", run.said())
            self.assertEqual(run.history.read_bytes(), history)

    def test_a_run_directory_in_use_is_refused_with_7_and_its_search_is_not_disturbed(self) -> None:
        run = self.new_endless_run(5)
        job = run.start()
        run.wait_for_scores(1)
        refused = run_program("search", "search.toml", folder=run.folder)
        self.assertEqual(refused.returncode, EXIT_IN_USE, refused.stderr)
        self.assertIn(str(job.pid), refused.stderr)
        planned = run_program("search", "search.toml", "--check", "--json", folder=run.folder)
        self.assertEqual(planned.returncode, EXIT_DONE, planned.stderr)
        self.assertIn(f"process {job.pid}", json.loads(planned.stdout)["in_use_by"])
        planned = run_program("search", "search.toml", "--check", folder=run.folder)
        self.assertIn(f"It is in use by host {os.uname().nodename}, ", planned.stdout)
        run.wait_for_scores(5)
        job.terminate()
        self.assertEqual(run.finish(), EXIT_STOPPED_EARLY, run.said())
        planned = run_program("search", "search.toml", "--check", "--json", folder=run.folder)
        self.assertEqual(json.loads(planned.stdout)["in_use_by"], "")
        run.configure(SLOW_SEARCH)
        run.complete()
        self.assert_ends_like_the_reference(run)


class Loss(StopTest):
    """Loses processes that others need."""

    @needs_mpirun()
    def test_evaluators_killed_by_hand_are_replaced_and_the_result_is_the_same(self) -> None:
        for ranks in (1, 2):
            with self.subTest(ranks=ranks):
                # Stored results lag behind, so several rounds may hit one task.
                configuration = tolerant(synthetic_search(duration_ms=40 * ranks))
                run = SearchRun(self.folder / f"{self.id()} {ranks}", configuration, ranks)
                self.addCleanup(run.clean_up)
                run.start()
                stored = 0
                for _ in range(4):
                    stored = len(run.wait_for_scores(stored + 5))
                    for evaluator in run.evaluators():
                        evaluator.kill()
                run.finish()
                self.assertEqual(run.state(), "complete", run.said())
                self.assertRegex(run.said(), "killed by signal 9")
                self.assert_ends_like_the_reference(run)

    def test_an_evaluator_that_stands_still_is_replaced_after_its_deadline(self) -> None:
        configuration = tolerant(SLOW_SEARCH)
        run = self.new_run(changed(configuration, evaluator={"deadline_floor_seconds": 2}))
        run.start()
        run.wait_for_scores(10)
        for evaluator in run.evaluators():
            evaluator.kill(signal.SIGSTOP)
        self.assertEqual(run.finish(), EXIT_DONE, run.said())
        self.assertIn("counts as hanging", run.said())
        self.assert_ends_like_the_reference(run)

    @needs_mpirun()
    def test_a_worker_rank_killed_is_missed_and_the_others_end_the_search(self) -> None:
        run = self.new_run(synthetic_search(duration_ms=90), ranks=3)
        run.start()
        run.wait_for_scores(10)
        rank = run.rank(2)
        rank.kill()
        self.expect_evaluator_of_rank_to_end(run, 2)
        run.finish()  # well before the lease of five minutes
        self.assertEqual(run.state(), "complete", run.said())
        said = f"worker 2 is lost: its process {rank.pid} on this host has ended"
        self.assertIn(said, run.said())
        run.expect_silence()
        self.assert_ends_like_the_reference(run)

    @needs_mpirun()
    def test_a_worker_rank_that_stands_still_is_lost_with_its_lease(self) -> None:
        configuration = synthetic_search(duration_ms=90)
        run = self.new_run(changed(configuration, run={"lease_seconds": SILENCE_SECONDS}), ranks=3)
        run.start()
        run.wait_for_scores(10)
        rank = run.rank(2)
        rank.kill(signal.SIGSTOP)
        self.addCleanup(rank.kill)
        said = f"worker 2 is lost: no word from it for {SILENCE_SECONDS} s"
        wait_until(lambda: said in run.said(), "the loss")
        wait_until(lambda: run.state() == "complete", "the search is complete")
        rank.kill()
        run.finish()
        self.assert_ends_like_the_reference(run)

    @needs_mpirun()
    def test_workers_end_when_their_coordinator_stands_still_for_the_watchdog(self) -> None:
        configuration = synthetic_search(duration_ms=60)
        run = self.new_run(
            changed(configuration, run={"watchdog_seconds": SILENCE_SECONDS}), ranks=2
        )
        run.start()
        run.wait_for_scores(10)
        coordinator, worker = run.rank(0), run.rank(1)
        coordinator.kill(signal.SIGSTOP)
        self.addCleanup(coordinator.kill)
        wait_until(lambda: not worker.lives(), "the worker's watchdog ends it")
        coordinator.kill(signal.SIGCONT)
        run.finish()  # on its own evaluator
        self.assertEqual(run.state(), "complete", run.said())
        self.assert_ends_like_the_reference(run)

    @needs_mpirun()
    def test_a_short_watchdog_ends_no_rank_however_long_its_task_takes(self) -> None:
        watchdog = 4  # seconds; the coordinator is heard every 5 at least, and more often then
        run = self.new_run(
            changed(hanging(SLOW_SEARCH, 5), run={"watchdog_seconds": watchdog}), ranks=2
        )
        run.start()
        run.wait_for_scores(1)
        time.sleep(3 * watchdog)
        self.assertNotIn("no word from the coordinator", run.said())
        self.assertTrue(run.rank(1).lives())
        run.kill_job()

    def expect_evaluator_of_rank_to_end(self, run: SearchRun, rank: int) -> None:
        def of_rank() -> list[Process]:
            return [process for process in run.evaluators() if process.rank == rank]

        wait_until(lambda: not of_rank(), f"the evaluator of rank {rank} ends")


if __name__ == "__main__":
    unittest.main()
