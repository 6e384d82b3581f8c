# SPDX-License-Identifier: Apache-2.0
"""Checks `longrope verify` on histories of real searches, whole, cut and foreign.

Usage: python tests/run_python_test.py tests/integration/verify_test.py
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from search_run import (
    EXIT_BAD_FILE,
    EXIT_DONE,
    SearchRun,
    changed,
    demo_search,
    needs_demo_documents,
    run_program,
    synthetic_search,
)

EXIT_CONFIGURATION = 3
WRITE_SAMPLE_HISTORY = "WRITE_SAMPLE_HISTORY"


class Verify(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def verified(self, run: SearchRun) -> dict[str, Any]:
        ended = run_program("verify", "--json", "search.toml", folder=run.folder)
        self.assertEqual(ended.returncode, EXIT_DONE, ended.stderr)
        return json.loads(ended.stdout)

    def test_a_search_follows_after_faults_and_more_iterations(self) -> None:
        faulty = synthetic_search(fault="crash", fault_every=40, poison_every=23)
        run = SearchRun(self.folder / "run", changed(faulty, stage={"iterations": 2}))
        run.complete()
        self.assertTrue(self.verified(run)["verified"])
        more = run_program("search", "search.toml", "--iterations", "4", folder=run.folder)
        self.assertEqual(more.returncode, EXIT_DONE, more.stderr)
        (stage,) = self.verified(run)["stages"]
        self.assertEqual(stage["individuals"], 16 + 4 * 16)
        self.assertEqual(stage["generations"], 5)
        self.assertTrue(stage["complete"])

    def test_a_search_follows_on_a_machine_without_fused_multiply_adds(self) -> None:
        # glibc's pow differs there in the last bit of NTK's factors for these sizes.
        sizes = synthetic_search(dimensions=64, original_window=4096, target_tokens=524288)
        run = SearchRun(self.folder / "run", changed(sizes, stage={"iterations": 1}))
        run.complete()
        other = os.environ | {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-FMA,-FMA4,-AVX2"}
        ended = run_program("verify", "search.toml", folder=run.folder, environment=other)
        self.assertEqual(ended.returncode, EXIT_DONE, ended.stderr)
        words = ("search", "search.toml", "--iterations", "2")
        more = run_program(*words, folder=run.folder, environment=other)
        self.assertEqual(more.returncode, EXIT_DONE, more.stderr)

    @needs_demo_documents()
    def test_a_search_on_a_model_follows_without_its_files(self) -> None:
        run = SearchRun(self.folder / "run", demo_search())
        run.complete()
        ended = run_program("verify", "run/search.h5", folder=run.folder)
        self.assertEqual(ended.returncode, EXIT_DONE, ended.stderr)
        self.assertIn("24 individuals in 3 generations follow from seed 7", ended.stdout)

    def test_a_history_that_no_search_made_is_refused(self) -> None:
        file = self.folder / "sample.h5"
        subprocess.run([os.environ[WRITE_SAMPLE_HISTORY], str(file)], check=True)
        ended = run_program("verify", str(file), folder=self.folder)
        self.assertEqual(ended.returncode, EXIT_BAD_FILE)
        self.assertIn(f"{file}: the configuration in the history cannot be read", ended.stderr)
        self.assertIn("edited or is damaged: bring back a copy of it", ended.stderr)
        ended = run_program("verify", "--json", str(file), folder=self.folder)
        self.assertEqual(ended.returncode, EXIT_BAD_FILE)
        self.assertFalse(json.loads(ended.stdout)["verified"])

    def test_what_is_no_history_is_refused(self) -> None:
        (self.folder / "text").write_text("no history\n", encoding="utf-8")
        for word, status, said in (
            ("text", EXIT_CONFIGURATION, "text"),
            ("nowhere", EXIT_BAD_FILE, "nowhere/search.h5 does not exist"),
            ("nowhere.h5", EXIT_BAD_FILE, "nowhere.h5 does not exist"),
            (".", EXIT_BAD_FILE, "search.h5 does not exist"),
        ):
            with self.subTest(word):
                ended = run_program("verify", word, folder=self.folder)
                self.assertEqual(ended.returncode, status, ended.stderr)
                self.assertIn(said, ended.stderr)


if __name__ == "__main__":
    unittest.main()
