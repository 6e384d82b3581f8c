# SPDX-License-Identifier: Apache-2.0
"""longrope and llama.cpp compute the same losses, with factors as GGUF carries them.

Usage: PROGRAM=build/release/longrope \
       python tests/run_python_test.py tests/parity/llama_cpp_test.py
"""

import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import cyllama.llama.llama_cpp  # noqa: F401  carries llama.cpp; without it these tests are skipped

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = ROOT / "documents" / "demo.h5"
PROGRAM = Path(os.environ.get("PROGRAM", ROOT / "build" / "release" / "longrope"))


@unittest.skipUnless(DOCUMENTS.is_file(), "scripts/prepare_demo.py has not made documents/demo.h5")
class LlamaCpp(unittest.TestCase):
    def compare(self, program: Path, methods: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                *(sys.executable, str(ROOT / "scripts" / "compare_with_llama_cpp.py")),
                *("--model", str(ROOT / "models" / "demo"), "--documents", str(DOCUMENTS)),
                *("--longrope", str(program), "--tokens", "1024", "--methods", methods),
            ],
            text=True,
            capture_output=True,
        )

    def test_the_demo_under_several_methods(self) -> None:
        done = self.compare(PROGRAM, "none,pi,ntk,yarn,llama3")
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_slightly_different_base_is_beyond_the_limits(self) -> None:
        # A program that evaluates a model whose base is 2 % larger, and otherwise does its work.
        with tempfile.TemporaryDirectory() as folder:
            other = Path(folder) / "model"
            other.mkdir()
            for file in (ROOT / "models" / "demo").iterdir():
                text = file.read_bytes()
                if file.name == "config.json":
                    text = text.replace(b'"rope_theta": 10000.0', b'"rope_theta": 10200.0')
                    self.assertIn(b"10200.0", text)
                (other / file.name).write_bytes(text)
            program = Path(folder) / "longrope"
            model = ROOT / "models" / "demo"
            program.write_text(
                f'#!/usr/bin/env bash\nmodel="{model}" other="{other}"\n'
                f'exec "{PROGRAM}" "${{@/#"$model"/"$other"}}"\n'
            )
            program.chmod(0o755)
            done = self.compare(program, "none")
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertIn("BEYOND THE LIMITS", done.stdout)


if __name__ == "__main__":
    unittest.main()
