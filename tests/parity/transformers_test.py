# SPDX-License-Identifier: Apache-2.0
"""longrope and transformers compute the same, and the recorded fixtures are what transformers says.

Usage: PROGRAM=build/release/longrope \
       python tests/run_python_test.py tests/parity/transformers_test.py
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
import torch  # noqa: F401  without these two the tests are skipped
import transformers  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "tests" / "fixtures"
DOCUMENTS = ROOT / "documents"
PROGRAM = os.environ.get("PROGRAM", str(ROOT / "build" / "release" / "longrope"))
# Between the machine of the fixtures and another: sums in another order. The tests of the forward
# pass allow 2e-3, so what is recorded may be this much off.
RECORDED_NLL = 5e-4


def run_script(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "scripts" / name), *words],
        cwd=ROOT,
        text=True,
        capture_output=True,
    )


class Recorded(unittest.TestCase):
    def test_the_parity_fixtures_are_recorded_again_as_they_are(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            done = run_script("record_parity_fixtures.py", "--fixtures", folder)
            self.assertEqual(done.returncode, 0, done.stderr)
            compared = 0
            for path in sorted((FIXTURES / "parity").glob("*_nll.h5")):
                name = path.name.removesuffix("_nll.h5")
                with self.subTest(name), h5py.File(path) as old:
                    again = Path(folder) / "parity"
                    with h5py.File(again / path.name) as new:
                        self.compare_documents(name, again)
                        self.assertEqual(set(old), set(new))
                        for method, group in old.items():
                            compared += self.compare_method(method, group, new[method])
        self.assertGreater(compared, 40)

    def compare_documents(self, name: str, again: Path) -> None:
        file = f"{name}_documents.h5"
        with h5py.File(FIXTURES / "parity" / file) as old, h5py.File(again / file) as new:
            for dataset in ("tokens", "offsets"):
                np.testing.assert_array_equal(old[dataset], new[dataset])

    def compare_method(self, method: str, old: h5py.Group, new: h5py.Group) -> int:
        np.testing.assert_allclose(new["factors"], old["factors"], rtol=1e-6, err_msg=method)
        self.assertAlmostEqual(new.attrs["attention_scale"], old.attrs["attention_scale"])
        (positions,) = (key for key in old if key.isdigit())
        values = new[positions]["nll"][:], old[positions]["nll"][:]
        np.testing.assert_allclose(*values, rtol=0, atol=RECORDED_NLL, err_msg=method)
        return 1

    def test_the_models_of_the_fixtures_are_written_again_as_they_are(self) -> None:
        sys.path.insert(0, str(ROOT / "scripts"))
        from tiny_models import TINY_MODELS

        with tempfile.TemporaryDirectory() as folder:
            for tiny in TINY_MODELS:
                tiny.write(Path(folder) / tiny.name)
                for file in sorted((FIXTURES / "models" / tiny.name).iterdir()):
                    with self.subTest(f"{tiny.name}/{file.name}"):
                        again = Path(folder) / tiny.name / file.name
                        self.assertEqual(file.read_bytes(), again.read_bytes())

    def test_the_rotations_are_recorded_again_as_they_are(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            again = Path(folder) / "rope_scaling.json"
            done = run_script("record_rope_scaling_fixtures.py", "--output", str(again))
            self.assertEqual(done.returncode, 0, done.stderr)
            new = json.loads(again.read_text())
        old = json.loads((FIXTURES / "rope_scaling.json").read_text())
        self.assertEqual([case["name"] for case in old], [case["name"] for case in new])
        for left, right in zip(old, new, strict=True):
            with self.subTest(left["name"]):
                self.assertEqual(left["config"], right["config"])
                self.assertEqual(len(left["rotations"]), len(right["rotations"]))
                for ours, theirs in zip(left["rotations"], right["rotations"], strict=True):
                    self.assertEqual(ours["positions"], theirs["positions"])
                    np.testing.assert_allclose(theirs["factors"], ours["factors"], rtol=1e-6)
                    self.assertAlmostEqual(theirs["attention_scale"], ours["attention_scale"])


class Program(unittest.TestCase):
    def compare(self, model: str, documents: str, *words: str) -> None:
        file = DOCUMENTS / documents
        if not file.is_file():
            self.skipTest(f"documents/{documents} has not been prepared")
        if not (ROOT / "models" / model).is_dir():
            self.skipTest(f"models/{model} has not been prepared")
        done = run_script(
            "compare_with_transformers.py",
            *("--model", f"models/{model}", "--documents", str(file), "--longrope", PROGRAM),
            *words,
        )
        print(done.stdout)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_the_demo_at_four_times_its_window(self) -> None:
        self.compare(
            "demo", "demo.h5", "--split", "validation", "--tokens", "1024", "--methods", "none,yarn"
        )

    def test_smollm2_under_yarn(self) -> None:
        words = "--split validation --tokens 1024 --target-tokens 16384 --methods yarn"
        self.compare("smollm2-135m", "smollm2.h5", *words.split())


if __name__ == "__main__":
    unittest.main()
