# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/compare_with_transformers_test.py

Without PyTorch: the program and transformers are replaced by recorded losses.
"""

import json
import math
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import h5py
import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts"), str(Path(__file__).parent)]

import compare_with_transformers as compare  # noqa: E402
import tokenize_documents  # noqa: E402
from record_parity_fixtures import Rope, standard_ropes  # noqa: E402
from run_main import run_main  # noqa: E402

PAIRS, THETA, WINDOW = 4, 10000.0, 64


class CompareWithTransformersTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.model = self.folder / "model"
        self.model.mkdir()
        config = {
            "hidden_size": 16,
            "num_attention_heads": 2,
            "max_position_embeddings": WINDOW,
            "rope_theta": THETA,
        }
        (self.model / "config.json").write_text(json.dumps(config))
        self.documents = self.folder / "documents.h5"
        self.write_documents(bos=7)
        self.nll = np.random.default_rng(3).random((2, 4), dtype=np.float32) + 2

    def write_documents(self, bos: int) -> None:
        tokenize_documents.write_tokens(
            self.documents,
            [np.arange(n, n + 6) for n in (0, 10, 20)],
            ["Book 1/2", "Other 1/1", "Book 2/2"],
            [1, 0, 1],
            {"bos_token_id": bos},
        )

    def compare(self, ours: np.ndarray, rope: Rope | None = None, *arguments: str):
        """Exit code, stdout and stderr, where longrope gives `ours` and transformers self.nll."""
        rope = rope or Rope("none", np.ones(PAIRS))

        def run_longrope(_, method: str, output: Path) -> None:
            with h5py.File(output, "w") as file:
                group = file.create_group(method)
                group["factors"] = rope.factors
                group.attrs["attention_scale"] = rope.attention_scale
                group.attrs["start_tokens"] = rope.start_tokens
                group["5/nll"] = ours

        words = ["--model", self.model, "--tokens", "5", "--documents", self.documents]
        words += ["--methods", rope.method, *arguments]
        with (
            mock.patch.object(compare, "run_longrope", run_longrope),
            mock.patch.object(compare, "load_model"),
            mock.patch.object(compare, "transformers_nll", lambda *_: self.nll),
        ):
            return run_main(compare, *words)

    def test_equal_losses_are_within_the_limits(self) -> None:
        code, out, err = self.compare(self.nll)
        self.assertEqual((code, err), (0, ""))
        self.assertIn("2 documents (heldout), 5 tokens", out)
        self.assertIn("0.00e+00", out)

    def test_a_token_beyond_the_limit_fails_and_is_named(self) -> None:
        ours = self.nll.copy()
        ours[1, 2] += 0.0025
        code, out, _ = self.compare(ours, None, "--max-relative-error", "1")
        self.assertEqual(code, 1)
        self.assertIn("Book 2/2, token 3  BEYOND THE LIMITS", out)
        self.assertIn("2.50e-03", out)
        self.assertEqual(
            self.compare(ours, None, "--max-relative-error", "1", "--max-nll-difference", "3e-3")[
                0
            ],
            0,
        )

    def test_a_mean_beyond_the_limit_fails(self) -> None:
        code, out, _ = self.compare(self.nll + np.float32(1e-4))
        self.assertEqual(code, 1)
        self.assertIn("BEYOND", out)

    def test_losses_that_are_not_finite_fail(self) -> None:
        for value in (math.inf, math.nan):
            ours = self.nll.copy()
            ours[0, 1] = value
            self.assertEqual(self.compare(ours)[0], 1)

    def test_the_relative_error_is_that_of_the_perplexity(self) -> None:
        found = compare.difference(self.nll.astype(np.float64) + 0.01, self.nll)
        self.assertAlmostEqual(found.relative_error, math.expm1(0.01), places=9)
        self.assertAlmostEqual(found.reference_perplexity, math.exp(self.nll.mean()), places=5)

    def test_factors_that_transformers_does_not_have_are_refused(self) -> None:
        code, _, err = self.compare(
            self.nll, Rope("pi", np.full(PAIRS, 3.0)), "--target-tokens", "128"
        )
        self.assertEqual(code, 1)
        self.assertIn("pi: longrope's factors", err)
        rope = Rope("yarn", standard_ropes(THETA, 2 * PAIRS, WINDOW, 2.0)["yarn"].factors, 1.5)
        code, _, err = self.compare(self.nll, rope, "--target-tokens", "128")
        self.assertIn("attention scale 1.5", err)

    def test_transformers_own_rotations_are_taken_where_it_has_the_method(self) -> None:
        facts = compare.read_facts(self.model)
        self.assertEqual(facts, compare.RotaryFacts(THETA, 2 * PAIRS, WINDOW))
        own = standard_ropes(THETA, 2 * PAIRS, WINDOW, 2.0)
        for method, name in compare.TRANSFORMERS_NAMES.items():
            stated = Rope(method, own[name].factors, own[name].attention_scale)
            with self.subTest(method):
                rope = compare.transformers_rope(stated, facts, 128)
                self.assertIsNotNone(rope.native)
        searched = Rope("factors", np.linspace(1, 2, PAIRS), 1.1, 4)
        self.assertIs(compare.transformers_rope(searched, facts, 128), searched)
        unstretched = compare.transformers_rope(Rope("yarn", np.ones(PAIRS)), facts, 32)
        self.assertEqual(unstretched.native["rope_type"], "default")

    def test_documents_are_those_of_the_split_with_bos_in_front(self) -> None:
        documents, titles = compare.read_documents(self.documents, "heldout", 5)
        self.assertEqual(titles, ["Book 1/2", "Book 2/2"])
        self.assertEqual([d.tolist() for d in documents], [[7, 0, 1, 2, 3], [7, 20, 21, 22, 23]])
        self.write_documents(bos=-1)
        documents, _ = compare.read_documents(self.documents, "heldout", 5)
        self.assertEqual(documents[0].tolist(), [0, 1, 2, 3, 4])
        with self.assertRaisesRegex(compare.ComparisonError, "fills 6 positions"):
            compare.read_documents(self.documents, "heldout", 7)
        with self.assertRaisesRegex(compare.ComparisonError, "no document of the split"):
            compare.read_documents(self.documents, "validation", 5)

    def test_the_attention_scale_is_the_one_of_transformers(self) -> None:
        for method, wish, scale in (
            ("none", None, "none"),
            ("pi", None, "none"),
            ("yarn", None, "yarn"),
            ("dynamic-ntk", None, "su"),
            ("searched", "1.2", "1.2"),
        ):
            self.assertEqual(compare.attention_scale(method, wish), scale)

    def test_a_program_that_fails_or_is_missing_is_an_error(self) -> None:
        words = ["--model", self.model, "--tokens", "5", "--documents", self.documents]
        for program, phrase in (("false", "ended with status 1"), ("./nothing", "cannot run")):
            status, _, err = run_main(compare, *words, "--longrope", program)
            self.assertEqual(status, 1)
            self.assertIn(phrase, err)


if __name__ == "__main__":
    unittest.main()
