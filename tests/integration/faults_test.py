# SPDX-License-Identifier: Apache-2.0
"""Checks what a search does about evaluators that fail in every way, on the real program.

Usage: python tests/run_python_test.py tests/integration/faults_test.py
"""

from __future__ import annotations

import os
import re
import resource
import subprocess
import tempfile
import unittest
from pathlib import Path
from unittest.mock import patch

import h5py
from search_run import (
    EXIT_DONE,
    EXIT_NOBODY_LEFT,
    Configuration,
    SearchRun,
    assert_same_search,
    changed,
    demo_search,
    hanging,
    needs_demo_documents,
    needs_mpirun,
    program,
    run_program,
    synthetic_search,
    tolerant,
    wait_until,
)

FAILED = 2  # status of an individual
NOT_FINITE = 2  # status of a document's score


class Faults(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def new_run(self, name: str, configuration: Configuration, ranks: int = 1) -> SearchRun:
        run = SearchRun(self.folder / name, configuration, ranks)
        self.addCleanup(run.clean_up)
        return run

    @unittest.skipIf(
        {"ASAN_OPTIONS", "TSAN_OPTIONS"} & os.environ.keys(),
        "the sanitizers reserve more than RLIMIT_AS allows",
    )
    @needs_demo_documents()
    def test_an_evaluator_without_memory_is_replaced_and_the_result_is_the_same(self) -> None:
        reference = self.new_run("reference", demo_search())
        reference.complete()
        run = self.new_run("run", demo_search())
        # What one document has freed serves the next one; with this glibc asks the system anew.
        run.start(environment={"MALLOC_MMAP_THRESHOLD_": "65536"})
        stored = 0
        for _ in range(2):
            stored = len(run.wait_for_scores(stored + 3))
            for evaluator in run.evaluators():
                resource.prlimit(evaluator.pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))
        self.assertEqual(run.finish(), EXIT_DONE, run.said())
        self.assertIn("out of memory. Run fewer evaluators on this host", run.said())
        assert_same_search(self, reference.content(), run.content())

    def test_a_score_that_is_not_finite_fails_the_individual_and_no_other(self) -> None:
        run = self.new_run("run", synthetic_search(fault="not_finite", poison_every=9))
        run.complete()
        with h5py.File(run.history) as file:
            stage = file["stages/long"]
            status = stage["evaluations"]["status"]
            cells = stage["document_status"][:]
            self.assertEqual(len(stage["failures"]), 0, "not finite is a result, not a fault")
        failed = status == FAILED
        self.assertTrue(0 < failed.sum() < len(status))
        self.assertTrue(((cells == NOT_FINITE).any(axis=1) == failed).all())

    def test_a_vector_that_always_crashes_is_failed_with_its_reason_after_three_tries(self) -> None:
        run = self.new_run("run", synthetic_search(fault="crash", poison_every=9))
        run.complete()
        with h5py.File(run.history) as file:
            stage = file["stages/long"]
            failed = {int(row) for row in (stage["evaluations"]["status"] == FAILED).nonzero()[0]}
            faults = stage["failures"][:]
        self.assertTrue(failed)
        for individual in failed:
            of_it = faults[(faults["phase"] == b"evaluations") & (faults["row"] == individual)]
            # The documents of an individual are tried side by side; the third fault of one decides.
            self.assertEqual(of_it["attempt"].max(), 3)
            self.assertRegex(of_it["reason"][0].decode(), "was killed by signal 9")

    def test_a_worker_on_which_everything_fails_fails_no_individual(self) -> None:
        reference = self.new_run("reference", synthetic_search())
        reference.complete()
        for fault, said in (("crash", "was killed by signal 9"), ("error", "no task succeeds in")):
            with self.subTest(fault=fault):
                run = self.new_run(fault, synthetic_search(fault=fault, fault_every=1))
                run.start()
                self.assertEqual(run.finish(), EXIT_NOBODY_LEFT, run.said())
                self.assertRegex(run.said(), f"5 candidates in a row failed on it.*{said}")
                run.configure(synthetic_search())  # the cause is gone
                run.complete()
                assert_same_search(
                    self, reference.content(), run.content(), besides={"/@configuration"}
                )

    @needs_mpirun()
    def test_a_rank_of_another_build_is_refused_and_its_evaluator_ends(self) -> None:
        run = self.new_run("build", hanging(synthetic_search(), 40), ranks=2)
        with patch.dict(os.environ, {"PROGRAM": self.other_build_on_rank_1(run.folder)}):
            run.start()
        run.wait_for_scores(20)
        self.assertRegex(
            run.said(), r"worker 1 on \S+ is refused: it runs build x+.*, the coordinator"
        )
        wait_until(
            lambda: [process.rank for process in run.evaluators()] == [0],
            "the refused rank's evaluator has ended",
        )
        self.assertIsNotNone(run.rank(1))  # it stays in the job, which MPI ends with
        run.kill_job()

    @staticmethod
    def other_build_on_rank_1(folder: Path) -> str:
        """A launcher of the program, but on rank 1 of a copy that names another commit."""
        version = subprocess.run([program(), "--version"], capture_output=True, check=True).stdout
        found = re.search(rb"\((.+)\)", version)
        assert found is not None, version
        (folder / "other").mkdir()
        other = folder / "other" / "longrope"
        begin = found[1][:8]  # as much as a compiler leaves in one piece
        other.write_bytes(program().read_bytes().replace(begin, b"x" * len(begin)))
        wrapper = folder / "wrapper"
        wrapper.write_text(
            "#!/bin/bash\n"
            f'[ "$OMPI_COMM_WORLD_RANK" != 1 ] || exec "{other}" "$@"\n'
            f'exec "{program()}" "$@"\n'
        )
        for file in (other, wrapper):
            file.chmod(0o755)
        return str(wrapper)

    def test_tasks_that_take_longer_than_the_floor_are_given_more_time(self) -> None:
        small = synthetic_search(
            population=4, parents=2, mutations=2, crossovers=2, iterations=1, documents=1
        )
        reference = self.new_run("reference", small)
        reference.complete()
        slow = changed(
            small,
            **{
                "evaluator": {"deadline_floor_seconds": 0.2},
                "evaluator.synthetic": {"duration_ms": 400},
            },
        )
        run = self.new_run("run", slow)
        run.complete()
        self.assertEqual(run.said().count("did not finish within 0.2 s"), 1, run.said())
        assert_same_search(self, reference.content(), run.content(), besides={"/@configuration"})

    def test_the_check_names_a_floor_that_tasks_will_exceed(self) -> None:
        for milliseconds, expected in ((1_100_000, True), (500_000, False)):
            run = self.new_run(str(milliseconds), synthetic_search(duration_ms=milliseconds))
            told = run_program("search", "--check", "search.toml", folder=run.folder)
            self.assertEqual(told.returncode, EXIT_DONE, told.stderr)
            advice = "A task takes about 18 min 20 s: set evaluator.deadline_floor_seconds = 600"
            self.assertEqual(advice in told.stdout, expected, told.stdout)

    def assert_ends_in_the_evaluators_words(self, run: SearchRun) -> None:
        status = run.run()
        if run.ranks == 1:  # mpirun does not pass it on
            self.assertEqual(status, EXIT_NOBODY_LEFT, run.said())
        self.assertRegex(
            run.said(), "error: no worker is left: synthetic fault: start, the evaluator"
        )
        self.assertEqual(run.state(), "failed")
        self.assertIn("refuses to begin", run.attribute("state_reason"))
        asked = run_program("status", "--should-requeue", "run", folder=run.folder)
        self.assertNotEqual(asked.returncode, EXIT_DONE, "it would fail again")
        run.expect_silence()

    def test_evaluators_that_cannot_start_end_the_search_in_their_own_words(self) -> None:
        run = self.new_run("alone", synthetic_search(fault="start", fault_every=1))
        self.assert_ends_in_the_evaluators_words(run)

    @needs_mpirun()
    def test_evaluators_that_cannot_start_on_any_rank_end_the_search(self) -> None:
        run = self.new_run("ranks", synthetic_search(fault="start", fault_every=1), ranks=3)
        self.assert_ends_in_the_evaluators_words(run)

    @needs_demo_documents()
    def test_evaluators_that_take_too_long_to_start_end_the_search(self) -> None:
        configuration = demo_search()  # loads a model, which no machine does at once
        configuration["evaluator"]["start_seconds"] = 1e-6
        run = self.new_run("run", configuration)
        run.start()
        self.assertEqual(run.finish(), EXIT_NOBODY_LEFT, run.said())
        said = "did not get ready within 1e-06 s (evaluator.start_seconds)"
        self.assertIn(said, run.said())
        self.assertIn(said, run.attribute("state_reason"))

    def test_a_hang_is_ended_by_the_deadline_and_tried_again(self) -> None:
        reference = self.new_run("reference", synthetic_search())
        reference.complete()
        configuration = tolerant(synthetic_search(fault="hang", fault_every=40))
        configuration["evaluator"]["deadline_floor_seconds"] = 1
        run = self.new_run("run", configuration)
        run.complete()
        self.assertIn("did not finish within 1 s and counts as hanging", run.said())
        assert_same_search(self, reference.content(), run.content(), besides={"/@configuration"})


if __name__ == "__main__":
    unittest.main()
