# SPDX-License-Identifier: Apache-2.0
"""Checks that a search gives the same bytes however many ranks and threads compute it.

Usage: python tests/run_python_test.py tests/integration/determinism_test.py
"""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from search_run import (
    Configuration,
    Content,
    SearchRun,
    assert_same_search,
    changed,
    demo_search,
    differences,
    needs_demo_documents,
    needs_mpirun,
    paper_search,
    synthetic_search,
)


class Determinism(unittest.TestCase):
    """Compares whole histories, times, workers and attempts aside."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.runs = 0

    def content_of(self, configuration: Configuration, ranks: int, *flags: str) -> Content:
        self.runs += 1
        run = SearchRun(self.folder / str(self.runs), configuration, ranks)
        self.addCleanup(run.clean_up)
        run.complete(*flags)
        return run.content()

    @needs_mpirun()
    def test_one_two_and_four_ranks_find_the_same_in_a_search_of_the_papers_size(self) -> None:
        configuration = paper_search()
        alone = self.content_of(configuration, 1)
        for ranks in (2, 4):
            with self.subTest(ranks=ranks):
                assert_same_search(self, alone, self.content_of(configuration, ranks))

    @needs_mpirun()
    def test_results_that_arrive_in_another_order_change_nothing(self) -> None:
        in_order = synthetic_search(duration_ms=0)
        shuffled = synthetic_search(duration_ms=4, duration_spread=1)
        settings = {"/@configuration"}  # only the durations differ, and they are no part of it
        assert_same_search(
            self, self.content_of(in_order, 1), self.content_of(shuffled, 4), besides=settings
        )

    @needs_mpirun()
    def test_evaluators_that_crash_or_send_garbage_change_nothing(self) -> None:
        sound = self.content_of(synthetic_search(), 1)
        for fault in ("crash", "garbage"):
            with self.subTest(fault=fault):
                faulty = synthetic_search(fault=fault, fault_every=40)
                found = self.content_of(faulty, 2)
                assert_same_search(self, sound, found, besides={"/@configuration"})

    def test_another_seed_finds_other_factors(self) -> None:
        configuration = synthetic_search()
        one = self.content_of(configuration, 1)
        other = self.content_of(changed(configuration, run={"seed": 8}), 1)
        self.assertIn("/stages/long/factors", differences(one, other))

    @needs_mpirun()
    @needs_demo_documents()
    def test_ranks_threads_and_streamed_weights_change_nothing_with_the_demo_model(self) -> None:
        configuration = demo_search()
        alone = self.content_of(configuration, 1)
        for ranks in (2, 4):
            with self.subTest(ranks=ranks):
                assert_same_search(self, alone, self.content_of(configuration, ranks))
        for words in (("--threads", "1"), ("--threads", "3"), ("--weights", "streamed")):
            with self.subTest(words=words):
                found = self.content_of(configuration, 1, *words)
                assert_same_search(self, alone, found, besides={"/@configuration"})


if __name__ == "__main__":
    unittest.main()
