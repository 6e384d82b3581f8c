# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/structure/discover_doctest_cases_test.py"""

import subprocess
import tempfile
import unittest
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "discover_doctest_cases.cmake"

# Names that CMake lists, patterns or quotation marks could take apart.
NAMES = (
    "a plain sentence",
    "first; second",
    "reals stay in [0, 1), and use all bits",
    'the word "quoted" and $dollars and a back\\slash',
    "größer than 50 %",
)

# Lists the names as doctest does; run on a case, says what it was asked for.
PROGRAM = """#!/bin/sh
case "$1" in
    --list-test-cases) cat "$(dirname "$0")/listed" ;;
    *) echo "$1" >>"$(dirname "$0")/asked"; echo "[doctest] test cases: @MATCHED@ | 1 passed" ;;
esac
"""


class Discovery(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def discover(self, names: tuple[str, ...], matched: int) -> subprocess.CompletedProcess[str]:
        rule = "=" * 79
        lines = ["[doctest] listing all test case names", rule, *names, rule, "[doctest] done: 5"]
        (self.folder / "listed").write_text("\n".join(lines) + "\n")
        program = self.folder / "program"
        program.write_text(PROGRAM.replace("@MATCHED@", str(matched)))
        program.chmod(0o755)
        given = {
            "PROGRAM": program,
            "PREFIX": "room",
            "OUTPUT": self.folder / "CTestTestfile.cmake",
        }
        return subprocess.run(
            ["cmake", *(f"-D{key}={value}" for key, value in given.items()), "-P", SCRIPT],
            text=True,
            capture_output=True,
        )

    def run_ctest(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ctest", "--test-dir", self.folder, "--no-tests=error"], text=True, capture_output=True
        )

    def test_every_case_is_run_by_its_name_whatever_is_in_it(self) -> None:
        self.assertEqual(self.discover(NAMES, 1).returncode, 0)
        done = self.run_ctest()
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        for name in NAMES:
            self.assertIn(f"room: {name} ", done.stdout)
        asked = (self.folder / "asked").read_text().splitlines()
        self.assertEqual(
            sorted(asked), sorted("--test-case=" + name.replace(",", "\\,") for name in NAMES)
        )

    def test_a_name_that_matches_no_case_fails(self) -> None:
        self.discover(NAMES[:1], 0)
        self.assertNotEqual(self.run_ctest().returncode, 0)

    def test_a_program_without_cases_fails_the_build(self) -> None:
        self.assertNotEqual(self.discover((), 1).returncode, 0)


if __name__ == "__main__":
    unittest.main()
