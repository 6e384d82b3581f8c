# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/rescale_factors_test.py"""

import json
import math
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import rescale_factors  # noqa: E402
from rescale_factors import FactorsError, RotaryFacts  # noqa: E402

FACTS = RotaryFacts(10000.0, 8, 64)
FACTORS = [1.0, 1.5, 2.0, 7.25]


def write_history(file: Path, **changes) -> None:
    """A history of one stage with what is read here; `changes` replace attributes by name."""
    attributes = {
        "format": "longrope-history",
        "format_version": 2,
        "theta": FACTS.theta,
        "original_window": float(FACTS.window),
        "target_tokens": 512.0,
        "complete": 1,
        "individual": 17,
        "start_tokens": 4,
        "attention_scale": 1.25,
    } | changes
    with h5py.File(file, "w") as opened:
        best = opened.create_group("stages/512/best")
        best["factors"] = changes.get("factors", FACTORS)
        places = {name: best for name in ("individual", "start_tokens", "attention_scale")}
        places |= dict.fromkeys(("format", "format_version", "configuration"), opened)
        for name, value in attributes.items():
            if name != "factors":
                places.get(name, opened["stages/512"]).attrs[name] = value


class Histories(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "search.h5"

    def read(self, stage: str = "512", **changes):
        write_history(self.file, **changes)
        return rescale_factors.read_stage(self.file, stage, FACTS)

    def test_factors_start_tokens_and_attention_scale_are_the_stage_s(self) -> None:
        found = self.read()
        self.assertEqual(found.factors.tolist(), FACTORS)
        self.assertEqual((found.start_tokens, found.attention_scale), (4, 1.25))
        self.assertEqual((found.target_tokens, found.window), (512, 64))
        self.assertIn("individual 17", found.source)

    def test_a_history_that_programs_wrote_is_read(self) -> None:
        history = ROOT / "tests" / "fixtures" / "histories" / "version_1.h5"
        with h5py.File(history) as file:
            for name, stage in file["stages"].items():
                facts = RotaryFacts(
                    float(stage.attrs["theta"]),
                    2 * len(stage["best/factors"]),
                    int(stage.attrs["original_window"]),
                )
                if not stage.attrs["complete"] or stage["best"].attrs["individual"] < 0:
                    with self.assertRaisesRegex(FactorsError, "is not complete"):
                        rescale_factors.read_stage(history, name, facts)
                    continue
                found = rescale_factors.read_stage(history, name, facts)
                np.testing.assert_array_equal(found.factors, stage["best/factors"])
                self.assertEqual(found.target_tokens, stage.attrs["target_tokens"])

    def test_a_stage_without_a_result_or_of_another_model_is_refused(self) -> None:
        for changes, told in (
            ({"complete": 0}, "is not complete: run its search"),
            ({"individual": -1}, "is not complete"),
            ({"theta": 500000.0}, "with theta 500000, this model has 10000"),
            ({"original_window": 128.0}, "original window 128, this model has 64"),
            ({"factors": [1.0, 2.0]}, "rotary pairs 2, this model has 4"),
            ({"configuration": "no TOML"}, "is damaged or no history: Expected '='"),
            ({"format": "else"}, "format 'else', version 2; expected 'longrope-history'"),
            ({"format_version": 99}, "version 99; expected"),
        ):
            with self.subTest(told), self.assertRaisesRegex(FactorsError, told):
                self.read(**changes)
        with self.assertRaisesRegex(FactorsError, "no stage '1024'; it has 512"):
            self.read("1024")

    def test_what_is_no_history_is_named(self) -> None:
        with self.assertRaisesRegex(FactorsError, "there is no such file"):
            rescale_factors.read_stage(self.file, "512", FACTS)
        self.file.write_text("text")
        with self.assertRaisesRegex(FactorsError, "cannot read the history"):
            rescale_factors.read_stage(self.file, "512", FACTS)
        with h5py.File(self.file, "w") as opened:
            opened.attrs["format"], opened.attrs["format_version"] = "longrope-history", 2
        with self.assertRaisesRegex(FactorsError, "is damaged or no history"):
            rescale_factors.read_stage(self.file, "512", FACTS)


class Named(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_the_attention_scale_follows_its_rule(self) -> None:
        su = math.sqrt(1 + math.log(8) / math.log(64))
        for rule, target, scale in (
            ("su", 512, su),
            ("yarn", 512, 0.1 * math.log(8) + 1),
            ("none", 512, 1.0),
            ("1.5", 512, 1.5),
            ("su", 64, 1.0),
            ("yarn", 32, 1.0),
        ):
            with self.subTest(rule=rule, target=target):
                found = rescale_factors.attention_scale(rule, 64, target)
                self.assertAlmostEqual(found, scale, places=15)
        for rule in ("other", "0", "-1", "inf", "nan"):
            with self.assertRaisesRegex(FactorsError, "use su, yarn, none or a positive number"):
                rescale_factors.attention_scale(rule, 64, 512)

    def test_none_and_yarn_are_formulas(self) -> None:
        none = rescale_factors.named_rescaling("none", FACTS, 64, "su")
        self.assertEqual((none.factors.tolist(), none.attention_scale), ([1.0] * 4, 1.0))
        yarn = rescale_factors.named_rescaling("yarn", RotaryFacts(1e4, 32, 256), 2048, "su", 2)
        self.assertEqual(yarn.start_tokens, 2)
        self.assertEqual((yarn.factors[0], yarn.factors[-1]), (1.0, 8.0))
        self.assertTrue((np.diff(yarn.factors) >= 0).all())

    def test_a_file_has_a_factor_per_pair(self) -> None:
        file = self.folder / "factors.csv"
        file.write_text("# of mine\n1\n1.5, 2.0\n\n7.25,  # the last\n")
        found = rescale_factors.named_rescaling(str(file), FACTS, 512, "none")
        self.assertEqual(found.factors.tolist(), FACTORS)
        for text, told in (
            ("1\n2\n", "has 2 factors; the model has 4 rotary pairs"),
            ("1\nx\n", r"factors.csv:2: 'x' is no positive number"),
            ("1\n-2\n", "'-2' is no positive number"),
            ("1\nnan\n", "'nan' is no positive number"),
        ):
            file.write_text(text)
            with self.subTest(text), self.assertRaisesRegex(FactorsError, told):
                rescale_factors.read_csv(file, 4)
        with self.assertRaisesRegex(FactorsError, "cannot read the factors yarm: No such file"):
            rescale_factors.named_rescaling("yarm", FACTS, 512, "su")


class Facts(unittest.TestCase):
    def read(self, config) -> RotaryFacts:
        with tempfile.TemporaryDirectory() as folder:
            text = config if isinstance(config, str) else json.dumps(config)
            (Path(folder) / "config.json").write_text(text)
            return rescale_factors.read_facts(Path(folder))

    def test_they_are_those_of_the_positions_before_any_scaling(self) -> None:
        plain = {"hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 64}
        for more, expected in (
            ({}, FACTS),
            ({"rope_theta": 5e5, "head_dim": 16}, RotaryFacts(5e5, 16, 64)),
            ({"rope_parameters": {"rope_theta": 9.0}}, RotaryFacts(9.0, 8, 64)),
            ({"partial_rotary_factor": 0.5}, RotaryFacts(1e4, 4, 64)),
            ({"sliding_window": 32, "model_type": "mistral"}, RotaryFacts(1e4, 8, 32)),
            ({"sliding_window": 32, "model_type": "qwen2"}, FACTS),
            (
                {"rope_scaling": {"type": "llama3", "original_max_position_embeddings": 16}},
                RotaryFacts(1e4, 8, 16),
            ),
        ):
            with self.subTest(more):
                self.assertEqual(self.read(plain | more), expected)

    def test_those_of_the_demo(self) -> None:
        found = rescale_factors.read_facts(ROOT / "models" / "demo")
        self.assertEqual(found, RotaryFacts(10000.0, 32, 256))

    def test_a_folder_without_them_is_refused(self) -> None:
        with self.assertRaisesRegex(FactorsError, "A Hugging Face folder is expected"):
            rescale_factors.read_facts(Path("nowhere"))
        with self.assertRaisesRegex(FactorsError, "it is no JSON"):
            self.read("{")
        with self.assertRaisesRegex(FactorsError, "hidden_size"):
            self.read({})
        with self.assertRaisesRegex(FactorsError, "not described as expected"):
            self.read("[]")


if __name__ == "__main__":
    unittest.main()
