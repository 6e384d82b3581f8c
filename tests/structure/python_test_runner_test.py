# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/structure/python_test_runner_test.py"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

RUNNER = Path(__file__).resolve().parents[1] / "run_python_test.py"


class Runner(unittest.TestCase):
    def run_on(self, text: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs `text` as a test file, with an interpreter that has no packages (-S)."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "planted_test.py"
            file.write_text(text)
            # What the runner does when it stands alone: -S hides installed packages, and the prefix
            # of this interpreter keeps the runner from going to another one.
            start = f"import sys; sys.argv = {[str(RUNNER), str(file)]!r}; import runpy; "
            start += f"space = runpy.run_path({str(RUNNER)!r}); "
            start += "space['main'].__globals__['enter_environment'] = lambda: None; "
            start += "sys.exit(space['main']())"
            return subprocess.run(
                [sys.executable, "-S", "-c", start],
                env={"PATH": os.environ["PATH"], **environment},
                text=True,
                capture_output=True,
            )

    def test_passing_and_failing_tests_say_so_in_the_status(self) -> None:
        case = "import unittest\nclass T(unittest.TestCase):\n    def test_it(self): self.{}\n"
        self.assertEqual(self.run_on(case.format("assertTrue(True)")).returncode, 0)
        self.assertEqual(self.run_on(case.format("assertTrue(False)")).returncode, 1)

    def test_a_missing_package_skips_the_file_and_is_named(self) -> None:
        done = self.run_on("import h5py\n")
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^skipped: planted_test.py: .*'h5py'; .*\.sh installs")

    def test_a_package_for_training_is_told_apart(self) -> None:
        done = self.run_on("import torch\n")
        self.assertEqual(done.returncode, 77, done.stderr)
        self.assertIn("install_dependencies.sh --training installs it", done.stdout)

    def test_a_skipped_test_is_named_with_its_reason(self) -> None:
        some = "import unittest\nclass T(unittest.TestCase):\n"
        some += "    def test_a(self): self.skipTest('no such thing')\n"
        done = self.run_on(some + "    def test_b(self): pass\n")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("skipped: T.test_a: no such thing\n", done.stdout)
        self.assertEqual(self.run_on(some).returncode, 77)

    def test_packages_are_sought_in_the_interpreter_for_training(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            python = Path(folder) / "bin" / "python"
            python.parent.mkdir()
            python.write_text('#!/bin/sh\necho "started with $*"\nexit 5\n')
            python.chmod(0o755)
            done = self.run_on("import torch\n", TRAINING_PYTHON=str(python))
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("planted_test.py", done.stdout)

    def test_any_other_missing_module_is_a_failure(self) -> None:
        done = self.run_on("import a_module_of_ours_that_was_renamed\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("a_module_of_ours_that_was_renamed", done.stderr)

    def test_a_file_without_tests_is_a_failure(self) -> None:
        self.assertEqual(self.run_on("x = 1\n").returncode, 1)


if __name__ == "__main__":
    unittest.main()
