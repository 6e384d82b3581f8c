# SPDX-License-Identifier: Apache-2.0
"""Checks that a search killed at any point goes on where it was and ends as it would have ended.

Usage: python tests/run_python_test.py tests/integration/resume_test.py
"""

from __future__ import annotations

import shutil
import tempfile
import unittest
from pathlib import Path

from bad_input import EXIT_BAD_FILE
from search_run import (
    DEMO_MODEL,
    EXIT_DONE,
    Configuration,
    SearchRun,
    assert_same_search,
    changed,
    demo_search,
    hanging,
    needs_demo_documents,
    needs_mpirun,
    run_program,
    synthetic_search,
)

# Of all document scores of the search: the first population, breeding, the final phase.
SHARES = (0.0, 0.2, 0.5, 0.75, 0.95)
# Scores that a resumed search copies: rows of baselines with equal factors share them.
COPIED_SCORES = 12


class Resume(unittest.TestCase):
    """Kills jobs by SIGKILL when their history has come so far, never after some time."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def new_run(self, name: str, configuration: Configuration, ranks: int = 1) -> SearchRun:
        run = SearchRun(self.folder / name, configuration, ranks)
        self.addCleanup(run.clean_up)
        return run

    def kill_at(self, run: SearchRun, scores: int, left: int) -> int:
        """Starts the search, which finds `left` scores from earlier jobs, and kills it when its
        history holds `scores`; returns how many the kill left."""
        run.start()
        seen = run.wait_for_scores(max(scores, left + 1))
        self.assertEqual(run.attribute("stored_at_start"), left)
        run.kill_job()
        stored = run.scores()
        self.assertLessEqual(seen.items(), stored.items(), "a stored score is lost")
        self.assertEqual(run.state(), "running")
        said = run_program("status", "run", folder=run.folder).stdout
        self.assertIn("interrupted: no coordinator is at work; the same command goes on", said)
        asked = run_program("status", "--should-requeue", "run", folder=run.folder)
        self.assertEqual(asked.returncode, 0, "a job that was killed is not queued again")
        return len(stored)

    def kill_at_each(
        self,
        run: SearchRun,
        reference: SearchRun,
        kills: list[tuple[int, float]],
        configuration: Configuration | None = None,
    ) -> None:
        """Kills a search with so many ranks at such a share of its scores, again and again. With a
        synthetic `configuration` no job can come to the end before it is killed: its evaluators
        hang on their last tasks."""
        expected = reference.scores()
        left = 0
        for ranks, share in kills:
            run.ranks = ranks
            target = int(share * len(expected))
            if configuration is not None:
                tasks = max(1, (len(expected) - COPIED_SCORES - left) // ranks)
                target = min(target, left + tasks)  # one evaluator may do all its tasks first
                run.configure(hanging(configuration, tasks))
            left = self.kill_at(run, target, left)
            self.assertLessEqual(run.scores().items(), expected.items())
        if configuration is not None:
            run.configure(configuration)
        run.complete()
        self.assertEqual(run.attribute("stored_at_start"), left)
        self.assertGreater(left, 0)
        self.assertLess(left, len(expected))
        self.assertLessEqual(run.tasks(), len(expected) - left, "stored scores were computed again")
        self.assertEqual(run.attribute("starts"), len(kills) + 1)
        assert_same_search(self, reference.content(), run.content(), besides={"/@configuration"})

    def uninterrupted(self, configuration: Configuration) -> SearchRun:
        run = self.new_run("uninterrupted", configuration)
        run.complete()
        return run

    @needs_mpirun()
    def test_a_search_killed_again_and_again_ends_like_one_that_never_was(self) -> None:
        reference = self.uninterrupted(synthetic_search())
        for ranks in (1, 2, 4):
            with self.subTest(ranks=ranks):
                slow = synthetic_search(duration_ms=5 * ranks, duration_spread=0.5)
                run = self.new_run(f"{ranks} ranks", slow)
                self.kill_at_each(run, reference, [(ranks, share) for share in SHARES], slow)

    @needs_mpirun()
    def test_a_search_goes_on_with_another_number_of_ranks(self) -> None:
        reference = self.uninterrupted(synthetic_search())
        slow = synthetic_search(duration_ms=10)
        run = self.new_run("killed", slow)
        self.kill_at_each(run, reference, [(4, 0.2), (1, 0.4), (2, 0.6)], slow)

    def test_snapshots_at_their_usual_interval_are_resumed_from(self) -> None:
        usual = synthetic_search(duration_ms=5)
        del usual["run"]["snapshot_seconds"]
        run = self.new_run("killed", usual)
        self.kill_at_each(run, self.uninterrupted(usual), [(1, 0.1), (1, 0.6)], usual)

    def test_more_iterations_continue_a_killed_search_as_if_they_had_been_asked_for(self) -> None:
        reference = self.uninterrupted(synthetic_search(iterations=6))
        few = synthetic_search(iterations=4, duration_ms=5)
        run = self.new_run("killed", hanging(few, 100))
        self.kill_at(run, 60, 0)
        run.configure(few)
        run.complete("--iterations", "6")
        assert_same_search(self, reference.content(), run.content(), besides={"/@configuration"})

    @needs_mpirun()
    def test_the_death_of_the_launcher_ends_every_process(self) -> None:
        search = synthetic_search(duration_ms=20)
        run = self.new_run("launcher", hanging(search, 20), ranks=3)
        run.start()
        run.wait_for_scores(5)
        for process in run.processes():
            if process.is_launcher:
                process.kill()
        run.expect_silence()
        self.assertGreater(len(run.scores()), 0)
        run.configure(search)
        run.complete()

    @needs_mpirun()
    def test_the_death_of_the_coordinator_ends_every_process(self) -> None:
        search = synthetic_search(duration_ms=20)
        run = self.new_run("coordinator", hanging(search, 20), ranks=3)
        run.start()
        run.wait_for_scores(5)
        run.rank(0).kill()
        run.expect_silence()
        run.configure(search)
        run.complete()

    def test_evaluators_die_with_a_search_that_runs_alone(self) -> None:
        run = self.new_run("alone", synthetic_search(fault="hang", fault_every=4))
        run.start()
        run.wait_for_scores(3)
        run.kill_job()  # waits until the evaluator is gone, in the middle of its task

    @needs_mpirun()
    @needs_demo_documents()
    def test_a_search_with_the_demo_model_ends_the_same_after_kills(self) -> None:
        reference = self.uninterrupted(demo_search())
        run = self.new_run("killed", demo_search())
        self.kill_at_each(run, reference, [(2, 0.2), (2, 0.6)])

    @needs_demo_documents()
    def test_a_search_goes_on_with_a_tokenizer_that_was_written_anew(self) -> None:
        """Another tokenizer.json is refused at the beginning; one that a search began before it
        was saved anew, in other bytes, is told and taken."""
        few = {"population": 4, "parents": 2, "mutations": 1, "crossovers": 1, "iterations": 1}
        configuration = changed(demo_search(), stage=few, model={"path": "model"})
        run = self.new_run("tokenizer", configuration)
        shutil.copytree(DEMO_MODEL, run.folder / "model")
        run.complete()
        with (run.folder / "model" / "tokenizer.json").open("a") as file:
            file.write("\n")
        told = "were made with another tokenizer"
        check = ("search", "--check", "search.toml")
        on = run_program(*check, "--iterations", "2", folder=run.folder)
        self.assertEqual(on.returncode, EXIT_DONE, on.stderr)
        self.assertIn(told, on.stderr)
        anew = run_program(*check, "--run-directory", "another", folder=run.folder)
        self.assertEqual(anew.returncode, EXIT_BAD_FILE)
        self.assertIn(told, anew.stderr)


if __name__ == "__main__":
    unittest.main()
