# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/finetune_settings_test.py"""

import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import finetune_settings  # noqa: E402
from finetune_settings import Settings, SettingsError, read_settings  # noqa: E402

CONFIGS = ROOT / "configs" / "finetune"


class Reading(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "settings.toml"

    def read(self, text: str, *overrides: str) -> Settings:
        self.file.write_text(text)
        return read_settings(self.file, overrides)

    def test_the_command_line_overrides_the_file_and_the_file_the_default(self) -> None:
        settings = self.read("[training]\nsteps = 7\nbatch = 3\n", "batch=5", "precision=f32")
        self.assertEqual((settings.steps, settings.batch), (7, 5))
        self.assertEqual((settings.precision, settings.seed), ("f32", Settings().seed))
        self.assertEqual(self.read("", "learning_rate=1").learning_rate, 1.0)
        self.assertIs(self.read("", "gradient_checkpointing=false").gradient_checkpointing, False)

    def test_what_is_not_accepted_is_named_with_what_would_be(self) -> None:
        for text, word, told in (
            ("[training]\nstep = 7\n", None, r"training.step is unknown; did you mean steps\?"),
            ("[training]\nzzzz = 7\n", None, "training.zzzz is unknown; there are steps, "),
            ("[training]\nsteps = 0\n", None, r"training.steps = 0: expected \[1, 1e\+09\]"),
            ("[training]\nsteps = 1.5\n", None, "training.steps = 1.5: expected a whole number"),
            ("[training]\nsteps = true\n", None, "training.steps = True: expected a whole number"),
            ("[training]\nschedule = 'cosine'\n", None, "'cosine': expected linear, constant"),
            ("[training]\nlearning_rate = nan\n", None, "learning_rate = nan: expected"),
            ("[stage]\n", None, r"'stage' is unknown: a table \[training\] is expected"),
            ("training = 3\n", None, "'training' is unknown"),
            ("[training\n", None, "it is no TOML"),
            ("", "steps", "--set steps: expected KEY=VALUE"),
            ("", "steps=many", "--set steps = 'many': expected a whole number"),
            (
                "[training]\ngradient_checkpointing = false\n",
                "offload_activations=true",
                "needs training.gradient_checkpointing",
            ),
            ("", "warmup_steps=400", "warmup_steps = 400, but training.steps = 400: use fewer"),
        ):
            with self.subTest(text=text, word=word), self.assertRaisesRegex(SettingsError, told):
                self.read(text, *filter(None, [word]))
        with self.assertRaisesRegex(SettingsError, "none.toml: No such file"):
            read_settings(self.file.with_name("none.toml"))

    def test_every_setting_has_a_default_that_is_accepted_and_stands_in_the_docs(self) -> None:
        docs = (ROOT / "docs" / "fine-tuning.md").read_text(encoding="utf-8")
        for name, field in finetune_settings.FIELDS.items():
            with self.subTest(name):
                accepted = field.metadata["accepted"]
                self.assertTrue(accepted is None or accepted.accepts(field.default))
                self.assertIn(f"| `{name}` |", docs)

    def test_the_settings_that_come_along_are_those_of_the_paper(self) -> None:
        for name, steps, batch, tokens, rate, schedule in (
            ("llama2-7b-128k", 400, 32, 131072, 2e-5, "linear"),
            ("llama2-7b-256k", 600, 32, 262144, 2e-5, "linear"),
            ("mistral-7b", 400, 64, 16384, 1e-6, "constant"),
        ):
            with self.subTest(name):
                settings = read_settings(CONFIGS / f"{name}.toml")
                found = (settings.steps, settings.batch, settings.segment_tokens)
                self.assertEqual(found, (steps, batch, tokens))
                self.assertEqual((settings.learning_rate, settings.schedule), (rate, schedule))
        for file in CONFIGS.glob("*.toml"):
            with self.subTest(file.name):
                read_settings(file)

    def test_where_the_run_computes_and_stores_is_no_part_of_its_identity(self) -> None:
        identity = Settings().identity()
        self.assertIn("learning_rate", identity)
        for name in ("documents", "checkpoint_steps", "gradient_checkpointing"):
            self.assertNotIn(name, identity)


class Schedule(unittest.TestCase):
    def test_linear_falls_from_the_full_rate_and_moves_in_the_last_step(self) -> None:
        settings = Settings(steps=4, learning_rate=8.0)
        rates = [settings.learning_rate_at(step) for step in range(4)]
        self.assertEqual(rates, [8.0, 6.0, 4.0, 2.0])

    def test_warm_up_rises_to_the_full_rate(self) -> None:
        settings = Settings(steps=6, learning_rate=8.0, warmup_steps=3)
        rates = [settings.learning_rate_at(step) for step in range(6)]
        self.assertEqual(rates[:4], [2.0, 4.0, 6.0, 8.0])
        self.assertAlmostEqual(rates[5], 8 / 3)

    def test_constant_stays(self) -> None:
        settings = Settings(steps=3, learning_rate=8.0, schedule="constant", warmup_steps=1)
        self.assertEqual([settings.learning_rate_at(s) for s in range(3)], [4.0, 8.0, 8.0])

    def test_a_batch_is_shared_evenly_or_refused(self) -> None:
        settings = Settings(batch=32, micro_batch=2)
        self.assertEqual([settings.accumulation(n) for n in (1, 4, 16)], [16, 4, 1])
        with self.assertRaisesRegex(SettingsError, "by 3 processes .* a multiple of 6"):
            settings.accumulation(3)


if __name__ == "__main__":
    unittest.main()
