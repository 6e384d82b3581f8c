# SPDX-License-Identifier: Apache-2.0
"""scripts/demo_campaign.sh from end to end, in miniature: every program is the real one.

Usage: PROGRAM=build/release/longrope \
       python tests/run_python_test.py tests/parity/demo_campaign_test.py
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np
import torch  # noqa: F401  without these two the test is skipped
import transformers  # noqa: F401

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

import tokenize_documents  # noqa: E402
import training_documents  # noqa: E402

PROGRAM = os.environ.get("PROGRAM", str(ROOT / "build" / "release" / "longrope"))
DEMO = ROOT / "models" / "demo"
STAGE = """
[[stage]]
name = "{name}"
target_tokens = {name}
population = 4
parents = 2
mutations = 1
crossovers = 1
iterations = 1
"""


class DemoCampaign(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        with h5py.File(ROOT / "tests" / "fixtures" / "parity" / "demo_documents.h5") as file:
            self.ids = file["tokens"][:]
        self.write_documents()
        tuned = (
            f'base = "512"\nmodel = "{self.folder}/tuned"\nfinetune = "{self.folder}/tune.toml"\n'
        )
        (self.folder / "campaign.toml").write_text(
            f'[model]\npath = "{DEMO}"\n[documents]\npath = "{self.folder}/documents.h5"\n'
            f'[run]\ndirectory = "{self.folder}/run"\n'
            + STAGE.format(name=512)
            + STAGE.format(name=1024)
            + tuned
            + STAGE.format(name=256)
            + tuned
            + 'kind = "recovery"\n'
        )
        (self.folder / "tune.toml").write_text(
            f'[training]\ndocuments = "{self.folder}/train.h5"\nsteps = 2\nbatch = 1\n'
            'learning_rate = 1e-4\nprecision = "f32"\ngradient_checkpointing = false\n'
        )

    def write_documents(self) -> None:
        """The same text, begun at other places: what it says does not matter here."""
        from tokenizers import Tokenizer

        texts = [np.roll(self.ids, 400 * n) for n in range(6)]
        titles = ["search 1/2", "search 2/2", "validation 1/1", "one 1/1", "two 1/1", "short 1/1"]
        texts[1], texts[5] = texts[1][:511], texts[5][:255]  # for the shorter stages alone
        names = ("text_sha256", "sources", "licences")
        attributes = {"bos_token_id": 0, "tokenizer_sha256": "x"} | dict.fromkeys(names, "x")
        splits = [tokenize_documents.SPLITS[of] for of in ("search", "validation")]
        tokenize_documents.write_tokens(
            self.folder / "documents.h5",
            texts,
            titles,
            [splits[0], splits[0], splits[1], 1, 1, splits[1]],
            attributes,
        )
        content = Tokenizer.from_file(str(DEMO / "tokenizer.json")).decode(self.ids.tolist())
        text = training_documents.TrainingText("sampled", content)
        training_documents.write_training_documents(
            self.folder / "train.h5", DEMO / "tokenizer.json", iter([text])
        )

    def run_script(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / "scripts" / "demo_campaign.sh", "--ranks", "1"],
            env=os.environ
            | {"TRAINING_PYTHON": sys.executable, "LONGROPE": PROGRAM, "SHORT_BATCH": "2"}
            | {"CONFIG": f"{self.folder}/campaign.toml", "SETTINGS": f"{self.folder}/tune.toml"},
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            check=False,
        )

    def test_a_campaign_goes_through_and_is_not_done_again(self) -> None:
        if not shutil.which("mpirun"):
            self.skipTest("there is no mpirun")
        done = self.run_script()
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.folder / "run" / "search.h5") as file:
            stages = file["stages"]
            self.assertEqual(sorted(stages), ["1024", "256", "512"])
            documents = {name: len(of["document_index"]) for name, of in stages.items()}
            self.assertEqual(documents, {"512": 2, "1024": 1, "256": 2})
            searched = {name: of["best/factors"][:].tolist() for name, of in stages.items()}
        for model, factors in (("tuned", searched["512"]), ("tuned-short", [1.0] * 16)):
            record = json.loads((self.folder / model / "fine_tuning.json").read_text())
            self.assertEqual(record["identity"]["rescaling"]["factors"], factors)
        rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
        self.assertEqual(len(rows), 1 + 3 + (6 + 2 + 2 + 3) + (6 + 6 + 6 + 3))
        counts = (("untouched, for 512 | searched", 2), ("tuned (YaRN), for 1024 | yarn", 3))
        for title, columns in counts:
            (row,) = (row for row in rows if title in row)
            self.assertEqual(row.count("±"), columns, row)
        self.assertIn(
            "At 256, the recovered list, tuned, against the untouched model: ", done.stdout
        )
        again = self.run_script()
        self.assertEqual(again.returncode, 0, again.stderr)
        table = done.stdout[done.stdout.index("| model") :]  # before it, what the searches found
        self.assertEqual(again.stdout, table)
        self.assertNotIn("campaign_table: ", again.stderr)


if __name__ == "__main__":
    unittest.main()
