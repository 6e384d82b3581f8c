# SPDX-License-Identifier: Apache-2.0
"""Checks that h5py, pandas and h5dump read the history of a search while the search replaces it.

Usage: python tests/run_python_test.py tests/integration/read_while_running_test.py
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy
import pandas
from search_run import (
    EXIT_DONE,
    SearchRun,
    run_program,
    synthetic_search,
    wait_until,
)

OPENS = 200
FILES = 20  # different ones that must have been among them, or it is opened more often
PROGRAMS = 20  # starts of h5dump and of the program, which take longer


class ReadWhileRunning(unittest.TestCase):
    """A search that stores after every result, several times faster than it is read."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        # Enough work for the slowest reader; it is stopped when the readers are done.
        search = synthetic_search(iterations=100_000, duration_ms=2)
        self.search = SearchRun(Path(folder.name) / "search", search)
        self.addCleanup(self.search.clean_up)
        self.search.start()
        self.search.wait_for_scores(1)

    def stop(self) -> None:
        """The search was at work until now, and in good order."""
        job = self.search.job
        assert job is not None
        self.assertIsNone(job.poll(), self.search.said())
        job.terminate()
        self.search.finish()
        self.assertEqual(self.search.state(), "stopped early", self.search.said())

    def test_h5py_finds_a_complete_file_every_time(self) -> None:
        held = 0
        opens = 0
        files = set()
        while opens < OPENS or len(files) < FILES:
            opens += 1
            self.assertLess(opens, 100 * OPENS, f"only {len(files)} different files")
            with h5py.File(self.search.history) as file:
                files.add(file.attrs["content_sha256"])
                self.assertEqual(
                    file.attrs["state_legend"][file.attrs["state"]].decode(), "running"
                )
                held = max(held, self.check_stage(file["stages/long"], held))
                file.visititems(lambda _, item: item[()] if hasattr(item, "shape") else None)
        self.stop()

    def check_stage(self, stage: h5py.Group, held: int) -> int:
        """Tables and matrices fit each other, and what was held is there; returns what is held."""
        rows = stage["evaluations"][:]
        scores = stage["document_nll"][:]
        status = stage["document_status"][:]
        self.assertEqual(list(rows["individual"]), list(range(len(rows))))
        self.assertEqual(scores.shape, (len(rows), len(stage["document_index"])))
        self.assertEqual(status.shape, scores.shape)
        self.assertEqual(len(stage["factors"]), len(rows))
        self.assertTrue(numpy.array_equal(numpy.isfinite(scores), status == 1))
        done = rows["status"] == 1
        self.assertTrue((status[done] == 1).all())
        means = scores[done].sum(axis=1) / rows["tokens"][done]
        numpy.testing.assert_allclose(rows["mean_nll"][done], means, rtol=1e-12)
        now = int((status == 1).sum())
        self.assertGreaterEqual(now, held, "a later file holds less")
        return now

    def test_pandas_makes_a_table_of_it_every_time(self) -> None:
        finished = 0
        for _ in range(OPENS):
            with h5py.File(self.search.history) as file:
                frame = pandas.DataFrame(file["stages/long/evaluations"][:])
            done = frame[frame["status"] == 1]
            self.assertGreaterEqual(len(done), finished)
            finished = len(done)
            numpy.testing.assert_allclose(done["perplexity"], numpy.exp(done["mean_nll"]))
        self.assertGreater(finished, 0)
        self.stop()

    @unittest.skipIf(shutil.which("h5dump") is None, "h5dump is not installed")
    def test_h5dump_prints_all_of_it_every_time(self) -> None:
        for _ in range(PROGRAMS):
            printed = subprocess.run(
                ["h5dump", "-d", "/stages/long/evaluations", self.search.history],
                capture_output=True,
                text=True,
                check=False,
            )
            self.assertEqual(printed.returncode, 0, printed.stderr)
            self.assertIn("H5T_COMPOUND", printed.stdout)
            self.assertTrue(printed.stdout.rstrip().endswith("}"))
        self.stop()

    def test_status_and_a_check_of_the_digest_find_it_in_order_every_time(self) -> None:
        scores = 0
        for _ in range(PROGRAMS):
            answer = run_program("status", "run", "--json", folder=self.search.folder)
            self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
            report = json.loads(answer.stdout)
            self.assertEqual(report["state"], "running")
            self.assertGreaterEqual(report["stages"][0]["document_scores"], scores)
            scores = report["stages"][0]["document_scores"]
        self.assertGreater(scores, 0)
        self.stop()

    def test_a_file_held_open_neither_changes_nor_hinders_the_search(self) -> None:
        with h5py.File(self.search.history) as file:
            first = file["stages/long/document_nll"][:]
            held = len(self.search.scores())
            self.search.wait_for_scores(held + 50)
            wait_until(
                lambda: not numpy.array_equal(first, self.stored_scores(), equal_nan=True),
                "a later file holds other scores",
            )
            again = file["stages/long/document_nll"][:]
            self.assertTrue(numpy.array_equal(first, again, equal_nan=True))
        self.stop()

    def stored_scores(self) -> numpy.ndarray:
        with h5py.File(self.search.history) as file:
            return file["stages/long/document_nll"][:]


if __name__ == "__main__":
    unittest.main()
