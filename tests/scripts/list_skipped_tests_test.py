# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/list_skipped_tests_test.py

Reports come from CTest itself, so that what it writes is what the script reads.
"""

import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "list_skipped_tests.py"


@unittest.skipIf(shutil.which("ctest") is None, "ctest is not installed")
class ListSkippedTests(unittest.TestCase):
    def report(self, *tests: tuple[str, str]) -> str:
        """Runs shell commands as tests of these names; what the script says of the report."""
        with tempfile.TemporaryDirectory() as folder:
            script = ""
            for name, command in tests:
                script += f"add_test([==[{name}]==] bash -c [==[{command}]==])\n"
                script += f"set_tests_properties([==[{name}]==] PROPERTIES SKIP_RETURN_CODE 77)\n"
            (Path(folder) / "CTestTestfile.cmake").write_text(script)
            subprocess.run(
                ["ctest", "--output-junit", "tests.xml", "--test-output-size-passed", "1000000"],
                cwd=folder,
                capture_output=True,
                timeout=60,
            )
            done = subprocess.run(
                [sys.executable, SCRIPT, Path(folder) / "tests.xml"], text=True, capture_output=True
            )
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_a_run_without_skips_says_so(self) -> None:
        said = self.report(("one", "echo nothing was skipped: all well"), ("two", "exit 1"))
        self.assertEqual(said, "0 tests skipped, 0 more in part\n")

    def test_a_skipped_test_is_named_with_its_reason(self) -> None:
        said = self.report(
            ("rooms: a <b>", "echo begin; echo 'skipped: no <thing> & none'; exit 77"),
            ("silent", "exit 77"),
            ("passes", "true"),
        )
        self.assertIn("skipped: rooms: a <b>: no <thing> & none\n", said)
        self.assertRegex(said, r"(?m)^skipped: silent: .+")
        self.assertNotIn("passes", said)
        self.assertTrue(said.endswith("\n2 tests skipped, 0 more in part\n"), said)

    def test_a_test_that_left_something_out_is_named_too(self) -> None:
        said = self.report(
            (
                "half",
                "seq 20000; echo '/x/y_test.cpp:98: MESSAGE: skipped: bf16 is not here'; "
                "echo skipped: T.t: no h5dump; echo skipped: T.t: no h5dump; seq 20000",
            )
        )
        self.assertEqual(
            said,
            "skipped: half (in part): bf16 is not here\n"
            "skipped: half (in part): T.t: no h5dump\n"
            "0 tests skipped, 1 more in part\n",
        )

    def test_a_failed_test_is_no_skipped_one(self) -> None:
        said = self.report(("fails", "exit 3"), ("is not there", "exit 0"))
        self.assertTrue(said.startswith("0 tests skipped"), said)

    def test_a_report_that_is_none_is_an_error(self) -> None:
        done = subprocess.run([sys.executable, SCRIPT, SCRIPT], text=True, capture_output=True)
        self.assertEqual(done.returncode, 2)
        self.assertIn("cannot read", done.stderr)


if __name__ == "__main__":
    unittest.main()
