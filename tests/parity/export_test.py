# SPDX-License-Identifier: Apache-2.0
"""Exported models have one perplexity in longrope, transformers and llama.cpp, and each program
takes the list that docs/export.md says.

Usage: PROGRAM=build/release/longrope \
       python tests/run_python_test.py tests/parity/export_test.py
"""

import os
import subprocess
import sys
import unittest
from pathlib import Path

import cyllama.llama.llama_cpp  # noqa: F401  without these three the tests are skipped
import torch  # noqa: F401
import transformers  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("PROGRAM", ROOT / "build" / "release" / "longrope"))


class Exports(unittest.TestCase):
    def compare(self, model: str, documents: str, *words: str) -> str:
        for path in (ROOT / "documents" / documents, ROOT / "models" / model):
            if not path.exists():
                self.skipTest(f"{path.relative_to(ROOT)} has not been prepared")
        done = subprocess.run(
            [
                *(sys.executable, str(ROOT / "scripts" / "compare_exports.py")),
                *("--model", str(ROOT / "models" / model)),
                *("--documents", str(ROOT / "documents" / documents)),
                *("--longrope", str(PROGRAM), *words),
            ],
            text=True,
            capture_output=True,
        )
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout

    def test_the_demo_at_its_window_and_at_eight_times_it(self) -> None:
        said = self.compare("demo", "demo.h5", "--target-tokens", "2048")
        self.assertEqual(said.count("\nllama.cpp"), 3)
        self.assertEqual(said.count("\ntransformers"), 2)

    def test_smollm2_with_lists_for_up_to_256_tokens_and_above(self) -> None:
        # Its own window of 8192 tokens would take hours; the choice between the lists is the same.
        windows = ("--original-window", "256", "--target-tokens", "1024")
        self.compare("smollm2-135m", "smollm2.h5", *windows, "--most", "1")


if __name__ == "__main__":
    unittest.main()
