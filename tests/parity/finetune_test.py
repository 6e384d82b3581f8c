# SPDX-License-Identifier: Apache-2.0
"""scripts/finetune.py trains what the evaluator evaluates, and resumes as if nothing had happened.

Usage: PROGRAM=build/release/longrope \
       python tests/run_python_test.py tests/parity/finetune_test.py
"""

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np
import torch
import transformers  # noqa: F401  without it the tests are skipped

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import finetune_model  # noqa: E402
import finetune_state as state  # noqa: E402
import rescale_factors  # noqa: E402
import training_documents  # noqa: E402

MODELS = ROOT / "tests" / "fixtures" / "models"
PARITY = ROOT / "tests" / "fixtures" / "parity"
DEMO = ROOT / "models" / "demo"
PROGRAM = os.environ.get("PROGRAM", str(ROOT / "build" / "release" / "longrope"))
STOPPED_EARLY = 75
# Sums in another order, over thousands of tokens; wrong factors move the mean by 100 times that.
MEAN_NLL = 2e-5


def factors_between(pairs: int, last: float) -> list[float]:
    """Some that no formula gives, rising to `last`."""
    return [1 + (last - 1) * (n / (pairs - 1)) ** 1.5 for n in range(pairs)]


class FinetuneTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def evaluated(
        self, model: Path, documents: Path, tokens: int, factors: list[float], *words: str
    ) -> dict[str, dict]:
        """What the program says of `none` and of the factors, by method."""
        file = self.folder / "factors.csv"
        file.write_text("\n".join(map(repr, factors)))
        done = subprocess.run(
            [PROGRAM, "evaluate", "--model", model, "--documents", documents, "--split", "search"]
            + ["--tokens", str(tokens), "--methods", "none", "--factors", file, "--json", *words],
            text=True,
            capture_output=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return {row["method"]: row for row in json.loads(done.stdout)["results"]}


class Loss(FinetuneTest):
    """The loss that is trained on is the one that is searched by."""

    def compare(self, model: Path, documents: Path, tokens: int, start_tokens: int) -> None:
        facts = rescale_factors.read_facts(model)
        factors = factors_between(facts.pairs, 6.5)
        words = f"--start-tokens {start_tokens} --precision f32 --attention-scale 1.17"
        rows = self.evaluated(model, documents, tokens, factors, *words.split())
        with h5py.File(documents) as opened:
            bos, offsets = int(opened.attrs["bos_token_id"]), opened["offsets"][:]
            ids = opened["tokens"][:].astype(np.int64)
        for method, lambdas in (("none", [1.0] * facts.pairs), ("factors", factors)):
            start = start_tokens if method == "factors" else 0
            rescaling = rescale_factors.Rescaling("test", np.array(lambdas), 1.17, start, tokens)
            loss = finetune_model.trainee(
                model,
                facts,
                rescaling,
                torch.device("cpu"),
                precision="f32",
                chunk_tokens=100,
                gradient_checkpointing=False,
                offload_activations=False,
            )
            for number, document in enumerate(rows[method]["documents"]):
                text = ids[offsets[number] : offsets[number + 1]]
                segment = np.concatenate([[bos] if bos >= 0 else [], text])[:tokens]
                with torch.no_grad():
                    found = float(loss(torch.tensor(segment.astype(np.int64))[None]))
                expected = document["sum_nll"] / document["scored_tokens"]
                with self.subTest(model.name, method=method, document=number):
                    self.assertLess(abs(found - expected), MEAN_NLL)
        self.assertGreater(
            abs(rows["none"]["perplexity"] / rows["factors"]["perplexity"] - 1), 100 * MEAN_NLL
        )

    def test_on_the_demo_s_model(self) -> None:
        self.compare(DEMO, PARITY / "demo_documents.h5", 1024, 3)

    def test_on_other_architectures(self) -> None:
        for name in ("tiny-mistral", "tiny-qwen3", "tiny-phi3-partial", "tiny-llama3-biases"):
            file = PARITY / f"{name}_documents.h5"
            with h5py.File(file) as opened:
                shortest = int(np.diff(opened["offsets"][:]).min())
            self.compare(MODELS / name, file, shortest, 2)


class Training(FinetuneTest):
    def setUp(self) -> None:
        super().setUp()
        self.documents = self.folder / "train.h5"
        from tokenizers import Tokenizer

        with h5py.File(PARITY / "demo_documents.h5") as opened:
            ids = opened["tokens"][:].tolist()
        content = Tokenizer.from_file(str(DEMO / "tokenizer.json")).decode(ids)
        text = training_documents.TrainingText("sampled", content)
        training_documents.write_training_documents(
            self.documents, DEMO / "tokenizer.json", iter([text])
        )
        self.settings = self.folder / "settings.toml"
        self.settings.write_text(
            "[training]\nsteps = 6\nsegment_tokens = 128\nbatch = 4\nmicro_batch = 2\n"
            'learning_rate = 1e-3\nprecision = "f32"\nsaved_precision = "f32"\n'
            "checkpoint_steps = 2\n"
        )

    def command(self, output: Path, *words: str) -> list[str]:
        return [
            *(str(ROOT / "scripts" / "finetune.py"), "--model", str(DEMO), "--threads", "1"),
            *("--documents", str(self.documents), "--output", str(output)),
            *("--config", str(self.settings), "--factors", "yarn", "--target-tokens", "1024"),
            *words,
        ]

    def run_script(
        self, output: Path, *words: str, status: int = 0, launcher=(), **environment: str
    ) -> str:
        done = subprocess.run(
            [sys.executable, *launcher, *self.command(output, *words)],
            text=True,
            capture_output=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
            check=False,
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done.stderr

    def losses(self, output: Path) -> list[float]:
        return [row.loss for row in state.read_losses(output / "loss.csv")]

    def wait_for_checkpoint(self, process: subprocess.Popen, output: Path, step: int) -> None:
        while state.last_checkpoint(state.training_folder(output)) < step:
            self.assertIsNone(process.poll(), "it ended before it could be interrupted")
            time.sleep(0.005)

    def interrupt(self, output: Path, number: signal.Signals, launcher=()) -> int:
        """Starts a run, sends the signal after the first checkpoint; the exit status."""
        process = subprocess.Popen(
            [sys.executable, *launcher, *self.command(output)], stderr=subprocess.DEVNULL
        )
        self.addCleanup(process.kill)
        self.wait_for_checkpoint(process, output, 2)
        process.send_signal(number)
        return process.wait()

    def test_a_resumed_run_gives_the_weights_of_one_that_was_never_interrupted(self) -> None:
        whole, killed, stopped = (self.folder / name for name in ("whole", "killed", "stopped"))
        self.run_script(whole)
        self.assertEqual(self.interrupt(killed, signal.SIGKILL), -signal.SIGKILL)
        self.assertFalse(killed.exists())
        self.assertIn("going on after step", self.run_script(killed))
        self.assertEqual(self.interrupt(stopped, signal.SIGTERM), STOPPED_EARLY)
        self.run_script(stopped, "--time-limit", "1", status=STOPPED_EARLY)
        self.run_script(stopped, "--end", str(int(time.time())), status=STOPPED_EARLY)
        self.run_script(stopped)
        weights = (whole / "model.safetensors").read_bytes()
        for output in (killed, stopped):
            with self.subTest(output.name):
                self.assertEqual((output / "model.safetensors").read_bytes(), weights)
                self.assertEqual(self.losses(output), self.losses(whole))
                self.assertFalse(state.training_folder(output).exists())

    def test_training_lowers_the_loss_and_the_program_loads_what_it_writes(self) -> None:
        output = self.folder / "tuned"
        self.run_script(output, "--set", "steps=15")
        losses = self.losses(output)
        self.assertEqual(len(losses), 15)
        self.assertLess(np.mean(losses[-3:]), losses[0] - 0.3)
        config = json.loads((output / "config.json").read_text())
        self.assertEqual(
            config, json.loads((DEMO / "config.json").read_text()) | {"torch_dtype": "float32"}
        )
        facts = rescale_factors.read_facts(DEMO)
        yarn = rescale_factors.named_rescaling("yarn", facts, 1024, "su")
        before, after = (
            self.evaluated(model, PARITY / "demo_documents.h5", 1024, yarn.factors.tolist())[
                "factors"
            ]["perplexity"]
            for model in (DEMO, output)
        )
        self.assertLess(after, 0.9 * before)

    def test_two_processes_train_as_one_does(self) -> None:
        alone, shared = self.folder / "alone", self.folder / "shared"
        self.run_script(alone, "--set", "steps=3")
        launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
        self.run_script(shared, "--set", "steps=3", launcher=launcher)
        np.testing.assert_allclose(self.losses(shared), self.losses(alone), atol=1e-4)
        self.assertEqual(
            (shared / "config.json").read_bytes(), (alone / "config.json").read_bytes()
        )
        from safetensors.torch import load_file

        ours, theirs = (load_file(of / "model.safetensors") for of in (shared, alone))
        self.assertEqual(set(ours), set(theirs))
        # Adam's first steps are as long as the learning rate, whichever way rounding points.
        far = max(float((ours[name] - theirs[name]).abs().max()) for name in ours)
        self.assertLess(far, 3e-3)
        moved = [float((ours[name] - theirs[name]).abs().mean()) for name in ours]
        self.assertLess(math.fsum(moved) / len(moved), 1e-5)

    def test_granted_gpus_that_pytorch_does_not_see_are_an_error(self) -> None:
        granted = {"SLURM_GPUS_ON_NODE": "1", "CUDA_VISIBLE_DEVICES": ""}
        told = self.run_script(self.folder / "refused", status=1, **granted)
        self.assertIn("finetune: SLURM_GPUS_ON_NODE=1, but PyTorch sees no GPU", told)
        words = ("--set", "steps=1", "--device", "cpu")
        told = self.run_script(self.folder / "tuned", *words, **granted)
        self.assertIn("\ndevice:    CPU, 1 process\n", told)

    def test_two_processes_that_torchrun_is_told_to_end_store_and_go_on_as_one(self) -> None:
        output = self.folder / "stopped"
        launcher = ("-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone")
        self.settings.write_text(self.settings.read_text().replace("steps = 6", "steps = 50", 1))
        self.assertEqual(self.interrupt(output, signal.SIGTERM, launcher), 1)
        stored = state.last_checkpoint(state.training_folder(output))
        self.assertGreater(stored, 2)
        end = ("--end", str(int(time.time())))
        told = self.run_script(output, *end, status=STOPPED_EARLY)
        self.assertIn(f"going on after step {stored}", told)

    def test_a_loss_that_is_not_finite_ends_it(self) -> None:
        told = self.run_script(self.folder / "tuned", "--set", "learning_rate=10", status=1)
        self.assertIn("a lower learning rate", told)


if __name__ == "__main__":
    unittest.main()
