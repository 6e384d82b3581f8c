# SPDX-License-Identifier: Apache-2.0
"""Checks that the method "model" of evaluate is the scaling that a model folder asks for.

Usage: python tests/run_python_test.py tests/integration/model_scaling_test.py
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
from search_run import REPOSITORY, run_program, synthetic_search, to_toml

FIXTURES = REPOSITORY / "tests" / "fixtures"
EXIT_USAGE = 2
EXIT_BAD_FILE = 4
TOLERANCE = 2e-3  # nats per token, as tests/fixtures/parity/README.md explains


class ModelScaling(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def evaluate(self, model: Path, *words: str) -> subprocess.CompletedProcess[str]:
        documents = FIXTURES / "parity" / f"{model.name}_documents.h5"
        inputs = ("--model", str(model), "--documents", str(documents), "--split", "search")
        return run_program("evaluate", *inputs, "--tokens", "256", *words, folder=self.folder)

    def test_its_losses_are_those_of_transformers_whatever_the_others_are_given(self) -> None:
        for name in ("tiny-llama3-biases", "tiny-qwen3", "tiny-phi3"):
            with self.subTest(name):
                model = FIXTURES / "models" / name
                words = ("--methods", "none,model", "--attention-scale", "1.5")
                answer = self.evaluate(model, *words, "--per-token", f"{name}.h5", "--json")
                self.assertEqual(answer.returncode, 0, answer.stderr)
                with (
                    h5py.File(self.folder / f"{name}.h5") as found,
                    h5py.File(FIXTURES / "parity" / f"{name}_nll.h5") as recorded,
                ):
                    theirs = recorded["model/256/nll"][:]
                    ours = found["model/256/nll"][:]
                    scale = recorded["model"].attrs["attention_scale"]
                self.assertLessEqual(numpy.abs(ours - theirs).max(), TOLERANCE)
                rows = {row["method"]: row for row in json.loads(answer.stdout)["results"]}
                self.assertEqual(rows["none"]["attention_scale"], 1.5)
                self.assertAlmostEqual(rows["model"]["attention_scale"], scale, places=6)

    def test_one_line_says_that_others_replace_it(self) -> None:
        answer = self.evaluate(FIXTURES / "models" / "tiny-qwen2", "--methods", "none")
        self.assertEqual(answer.stderr.count('the RoPE scaling "yarn", which is replaced'), 1)
        answer = self.evaluate(FIXTURES / "models" / "tiny-mistral", "--methods", "none,model")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        # A machine with a GPU has a line on that.
        self.assertNotIn("RoPE scaling", answer.stderr, "this folder has nothing to replace")

    def test_a_scaling_that_cannot_be_used_stops_only_the_method_that_asks_for_it(self) -> None:
        model = self.folder / "tiny-qwen2"
        shutil.copytree(FIXTURES / "models" / "tiny-qwen2", model)
        config = json.loads((model / "config.json").read_text())
        config["rope_scaling"] = {"type": "mrope", "mrope_section": [2, 2, 2]}
        (model / "config.json").write_text(json.dumps(config))
        answer = self.evaluate(model, "--methods", "none,model")
        self.assertEqual(answer.returncode, EXIT_BAD_FILE)
        self.assertIn('rope_scaling.type = "mrope", expected "default", "linear"', answer.stderr)
        self.assertEqual(self.evaluate(model, "--methods", "none").returncode, 0)

    def test_a_landscape_has_no_such_method(self) -> None:
        (self.folder / "search.toml").write_text(to_toml(synthetic_search()))
        words = ("evaluate", "search.toml", "--methods", "model")
        answer = run_program(*words, folder=self.folder)
        self.assertEqual(answer.returncode, EXIT_USAGE, answer.stderr)
        self.assertIn("no model folder", answer.stderr)


if __name__ == "__main__":
    unittest.main()
