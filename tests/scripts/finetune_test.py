# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/finetune_test.py

Without PyTorch: what is read, checked and refused before anything is computed. The training itself
is in tests/parity/finetune_test.py.
"""

import contextlib
import errno
import io
import json
import os
import shutil
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(Path(__file__).parent)]

import finetune  # noqa: E402
import finetune_state as state  # noqa: E402
import training_documents  # noqa: E402
from rescale_factors_test import FACTORS, write_history  # noqa: E402
from tokenize_documents_test import word_tokenizer, words  # noqa: E402

CONFIG = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "max_position_embeddings": 64,
    "vocab_size": 2000,
    "eos_token_id": [1999, 1998],
}


class FinetuneTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.model = self.folder / "model"
        self.model.mkdir()
        (self.model / "config.json").write_text(json.dumps(CONFIG))
        (self.model / "model.safetensors").write_bytes(b"weights")
        word_tokenizer(2000, adds_bos=True).save(str(self.model / "tokenizer.json"))
        self.documents = self.folder / "train.h5"
        self.write_documents()
        self.history = self.folder / "search.h5"
        write_history(self.history)
        self.settings = self.folder / "settings.toml"
        self.settings.write_text("[training]\nsteps = 4\nbatch = 2\nsegment_tokens = 16\n")
        self.output = self.folder / "tuned"

    def write_documents(self, tokenizer: Path | None = None, texts: int = 1) -> None:
        text = training_documents.TrainingText("one", words(1, 900))
        tokenizer = tokenizer or self.model / "tokenizer.json"
        training_documents.write_training_documents(self.documents, tokenizer, iter([text] * texts))

    def run_script(
        self, *words_: object, packages: dict[str, object] | None = None, **replaced: object
    ) -> tuple[int, str, str]:
        """Exit status, stdout and stderr; an option that is None is left out."""
        options = {
            "model": self.model,
            "history": self.history,
            "stage": "512",
            "output": self.output,
            "config": self.settings,
            "documents": self.documents,
        } | replaced
        argv = ["finetune.py"]
        for name, value in options.items():
            argv += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(sys, "argv", [*argv, *map(str, words_)]),
            # As where PyTorch is not installed.
            mock.patch.dict(sys.modules, packages or {"torch": None, "finetune_model": None}),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                status = finetune.main()
            except SystemExit as error:
                status = error.code
        return status, out.getvalue(), err.getvalue()

    def check(self, *words_: object, **replaced: object) -> str:
        status, out, err = self.run_script("--check", *words_, **replaced)
        self.assertEqual((status, err), (0, ""))
        return out

    def refusal(self, *words_: object, **replaced: object) -> str:
        status, out, err = self.run_script(*words_, **replaced)
        self.assertEqual((status, out), (1, ""), err)
        self.assertFalse(self.output.exists())
        return err


class Checked(FinetuneTest):
    def test_check_says_what_would_be_done_and_does_nothing(self) -> None:
        out = self.check()
        self.assertIn("stage 512 of", out)
        self.assertIn("1.000, 1.500, 2.000, 7.250", out)
        self.assertIn("start tokens 4, attention scale 1.250000, target 512 tokens", out)
        self.assertIn("4 steps x 2 segments x 16 tokens, 0.13 epochs", out)
        left = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(left, ["model", "search.h5", "settings.toml", "train.h5"])

    def test_segments_are_as_long_as_the_target_unless_the_settings_say_otherwise(self) -> None:
        self.write_documents(texts=2)
        self.assertIn("x 512 tokens", self.check("--set", "segment_tokens=0"))

    def test_factors_for_comparison_have_the_attention_scale_of_the_stage(self) -> None:
        out = self.check(factors="yarn")
        self.assertIn("factors:   yarn: ", out)
        self.assertIn("start tokens 0, attention scale 1.250000, target 512", out)
        out = self.check(factors="yarn", target_tokens=128)
        self.assertIn("attention scale 1.080123, target 128", out)  # su at s = 2
        out = self.check(factors="none", target_tokens=64, history=None, stage=None)
        self.assertIn("none: 1.000, 1.000, 1.000, 1.000\n", out)
        self.assertIn("attention scale 1.000000", out)
        file = self.folder / "factors.csv"
        file.write_text("\n".join(map(str, FACTORS)))
        out = self.check(factors=file, attention_scale="1.5", start_tokens=3)
        self.assertIn("start tokens 3, attention scale 1.500000", out)

    def test_the_window_is_that_of_the_search(self) -> None:
        given = "[model]\noriginal_window = 32\n"
        write_history(self.history, original_window=32.0, configuration=given)
        self.assertIn("window 32, theta", self.check())
        out = self.check(factors="yarn", target_tokens=128)
        self.assertIn("attention scale 1.183216, target 128", out)  # su at s = 4
        self.assertIn("window 32, theta", out)

    def test_the_documents_of_the_settings_are_taken_where_none_are_given(self) -> None:
        with self.settings.open("a") as file:
            file.write(f'documents = "{self.documents}"\n')
        self.assertIn(str(self.documents), self.check(documents=None))

    def test_what_is_missing_or_does_not_fit_is_refused(self) -> None:
        other = self.folder / "other.json"
        word_tokenizer(1000, adds_bos=True).save(str(other))
        for replaced, told in (
            ({"stage": None}, "--history needs --stage"),
            ({"history": None, "stage": None}, "no factors: give --history and --stage"),
            ({"history": None, "factors": "yarn"}, "--factors needs --target-tokens"),
            ({"documents": None}, "no training documents: give --documents"),
            ({"documents": self.folder / "none.h5"}, "there is no such file"),
            ({"stage": "64"}, "has no stage '64'; it has 512"),
            ({"model": self.folder}, "A Hugging Face folder is expected"),
            ({"config": self.folder / "none.toml"}, "cannot read the settings"),
            ({"target_tokens": 128}, "--target-tokens goes with --factors"),
            ({"attention_scale": "none"}, "--attention-scale goes with --factors"),
            ({"start_tokens": 7}, "--start-tokens goes with --factors"),
            ({"set": "segment_tokens=10000"}, "too few for segments of 10000"),
            ({"set": "step=3"}, "did you mean steps?"),
        ):
            with self.subTest(told):
                self.assertIn(told, self.refusal(**replaced))
        self.write_documents(other)
        self.assertIn("was made with another tokenizer", self.refusal())
        self.write_documents()
        (self.model / "model.safetensors").unlink()
        self.assertIn("has no *.safetensors file", self.refusal())

    def test_the_batch_must_be_shared_evenly(self) -> None:
        self.check("--processes", 2)
        status, _, err = self.run_script("--check", "--processes", 4)
        self.assertEqual(status, 1)
        self.assertIn("training.batch = 2 cannot be shared by 4 processes", err)

    def test_ahead_of_other_jobs_what_is_known_is_checked(self) -> None:
        packages = {"torch": mock.Mock(), "transformers": mock.Mock()}
        for module in packages.values():
            module.__spec__ = mock.Mock()

        def ahead(**replaced: object) -> tuple[int, str, str]:
            words = ("--check", "--ahead", self.model)
            return self.run_script(*words, packages=packages, **replaced)

        nothing_yet = {"model": self.folder / "later", "history": self.folder / "later.h5"}
        for replaced in ({}, {"stage": "64"}, nothing_yet):
            status, out, err = ahead(**replaced)
            self.assertEqual((status, err), (0, ""))
            self.assertEqual(out, f"{self.output}: new; what is known of it so far is in order\n")
        for replaced, told in (
            ({"set": "segment_tokens=10000"}, "too few for segments of 10000"),
            ({"set": "segment_tokens=0"}, "too few for segments of 512"),  # of the stage
            ({"documents": self.folder / "none.h5"}, "scripts/prepare_demo_training.py makes"),
            ({"history": self.documents}, "is no history that this program reads"),
        ):
            with self.subTest(told):
                status, _, err = ahead(**replaced)
                self.assertEqual(status, 1)
                self.assertIn(told, err)
        # As on a login node without PyTorch.
        status, out, err = self.run_script("--check", "--ahead", self.model)
        self.assertEqual((status, out.count("in order")), (0, 1), err)
        self.assertRegex(
            err, r"finetune: note: .* has no torch.*install_dependencies.sh --training"
        )
        status, _, err = self.run_script("--ahead", self.model)
        self.assertEqual(status, 2)
        self.assertIn("--ahead goes with --check", err)

    def test_a_command_line_that_cannot_be_meant(self) -> None:
        for words_ in (("--target-tokens", "0"), ("--start-tokens", "-1"), ("--wrong",)):
            status, _, err = self.run_script(*words_)
            self.assertEqual(status, 2)
            self.assertIn(words_[0], err)

    def test_without_pytorch_it_says_how_to_get_it(self) -> None:
        self.assertIn("install_dependencies.sh --training", self.refusal())


class Resumed(FinetuneTest):
    def identity(self) -> dict:
        arguments = finetune.argument_parser().parse_args(
            [
                *("--model", str(self.model), "--history", str(self.history), "--stage", "512"),
                *("--output", str(self.output), "--config", str(self.settings)),
                *("--documents", str(self.documents)),
            ]
        )
        return finetune.finetune_plan.make_plan(arguments).identity

    def test_what_an_earlier_start_left_must_be_of_the_same_run(self) -> None:
        folder = state.training_folder(self.output)
        folder.mkdir()
        (folder / "identity.json").write_text(json.dumps(self.identity()))
        self.assertIn("install_dependencies.sh --training", self.refusal())  # it would go on
        said = self.refusal("--set", "learning_rate=1", "--set", "seed=7", factors="yarn")
        self.assertIn("settings.learning_rate was 2e-05, is now 1.0", said)
        self.assertIn("settings.seed was 42, is now 7", said)
        self.assertIn("rescaling.start_tokens was 4, is now 0", said)
        self.assertIn(f"remove {folder}", said)
        (self.model / "model.safetensors").write_bytes(b"heavier")
        self.assertIn("base_digest was", self.refusal())

    def test_a_complete_output_is_left_alone(self) -> None:
        self.output.mkdir()
        status, _, err = self.run_script()
        self.assertEqual(status, 1)
        self.assertIn("exists and was not written by this program", err)
        (self.output / "fine_tuning.json").write_text(json.dumps({"identity": self.identity()}))
        self.assertEqual(self.run_script()[::2], (0, f"finetune: {self.output} is complete\n"))
        status, _, err = self.run_script("--set", "steps=9")
        self.assertEqual(status, 1)
        self.assertIn("settings.steps was 4, is now 9", err)

    def test_a_moved_checkout_is_the_same_run(self) -> None:
        before = self.identity()
        moved = self.folder / "moved"
        moved.mkdir()
        for name in ("model", "documents", "history"):
            path = getattr(self, name)
            setattr(self, name, Path(shutil.move(path, moved / path.name)))
        self.assertEqual(self.identity(), before)


class Kept(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_the_loss_curve_is_read_as_it_was_written(self) -> None:
        rows = [state.LossRow(n, 16 * n, 1 / (3 * n), 1e-5 / n, n * 0.1, 1.5) for n in (1, 2)]
        file = self.folder / "loss.csv"
        state.write_text(file, state.loss_table(rows))
        self.assertEqual(state.read_losses(file), rows)
        with file.open("a") as opened:
            opened.write("3,48,1.0\n")
        with self.assertRaisesRegex(state.StateError, "loss.csv, line 4"):
            state.read_losses(file)
        # A checkpoint of step 2 needs no more than these.
        self.assertEqual(state.read_losses(file, 2), rows)
        self.assertEqual(state.read_losses(self.folder / "none.csv"), [])

    def test_a_checkpoint_that_was_never_finished_does_not_count(self) -> None:
        self.assertEqual(state.last_checkpoint(self.folder), 0)
        for name in ("step-000020", ".step-000040", "step-x"):
            (self.folder / name).mkdir()
        self.assertEqual(state.last_checkpoint(self.folder), 20)
        (self.folder / ".step-000040" / "part").write_text("x")
        state.publish_checkpoint(self.folder / ".step-000040", self.folder, 40)
        self.assertEqual(state.last_checkpoint(self.folder), 40)
        self.assertFalse((self.folder / "step-000020").exists())

    def test_a_tuned_model_has_all_of_its_base_but_weights_and_configuration(self) -> None:
        kept = [
            "LICENSE",
            "added_tokens.json",
            "chat_template.jinja",
            "tokenizer.model",
            "vocab.json",
        ]
        for name in (
            *(*kept, "config.json", "model-00001-of-00002.safetensors", "pytorch_model.bin"),
            *("model.safetensors.index.json", "pytorch_model.bin.index.json", ".gitattributes"),
        ):
            (self.folder / name).touch()
        (self.folder / "original").mkdir()
        self.assertEqual([file.name for file in state.companions(self.folder)], kept)

    def test_what_an_interrupted_save_left_is_removed(self) -> None:
        output = self.folder / "tuned"
        for path in (
            *(state.unfinished(output), self.folder / ".tuned.17.tmp"),
            *(self.folder / ".tuned.b.17.tmp", self.folder / ".tuned.17.tmp2"),
        ):
            path.mkdir()
        state.remove_unfinished(output)
        left = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(left, [".tuned.17.tmp2", ".tuned.b.17.tmp"])

    def test_a_second_start_is_kept_out(self) -> None:
        with state.lock(self.folder):
            with self.assertRaisesRegex(state.StateError, "in use by another fine-tuning"):
                state.lock(self.folder)
        state.lock(self.folder).close()

    def test_a_file_system_without_locks_is_told_and_no_obstacle(self) -> None:
        for number in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            said = io.StringIO()
            error = OSError(number, os.strerror(number))
            with (
                mock.patch.object(state.fcntl, "flock", side_effect=error),
                contextlib.redirect_stderr(said),
            ):
                state.lock(self.folder).close()
            kind = state.file_system(self.folder)
            self.assertRegex(kind, r"^\w+ at /")
            self.assertIn(f"{self.folder}/lock cannot be locked, as {kind} has no", said.getvalue())
        with (
            mock.patch.object(state.fcntl, "flock", side_effect=OSError(errno.EIO, "I/O error")),
            self.assertRaisesRegex(state.StateError, "cannot lock .*/lock: I/O error"),
        ):
            state.lock(self.folder)


if __name__ == "__main__":
    unittest.main()
