# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/campaign_table_test.py

longrope is a stand-in that writes losses known beforehand.
"""

import contextlib
import io
import json
import math
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(Path(__file__).parent)]

import campaign_cells  # noqa: E402
import campaign_table  # noqa: E402
import tokenize_documents  # noqa: E402
from campaign_cells import Cell, TableError  # noqa: E402

STRETCH = 4095  # tokens; with BOS a document of 4,096 positions
LENGTHS = (64, 1024, 4096)
# Losses of the stand-in: that of a method, and a tenth more for each model after the first.
LOSSES = {"none": 5.0, "pi": 4.5, "ntk": 4.2, "dynamic-ntk": 4.3, "yarn": 4.0, "factors": 3.9}
MODELS = ("base", "tuned", "tuned-yarn", "tuned-short")
PROGRAM = r"""
import json, sys
import h5py, numpy as np
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
with open("calls", "a") as calls:
    calls.write(json.dumps(words) + "\n")
tokens, losses, models = int(words["--tokens"]), json.loads(LOSSES), json.loads(MODELS)
with h5py.File(words["--documents"]) as file:
    ids = file["tokens"][:].reshape(-1, tokens - 1)
extra = 0.1 * models.index(words["--model"].split("/")[-1])
with h5py.File(words["--per-token"], "w") as file:
    for method in words["--methods"].split(",") + ["factors"] * ("--factors" in words):
        # A token's own share is the same in all rows, and large.
        file[f"{method}/{tokens}/nll"] = (losses[method] + extra + ids % 7).astype("f4")
"""


def write_stage(file: h5py.File, name: str, order: int, target: int) -> None:
    stage = file.create_group(f"stages/{name}")
    for key, value in {
        "order": order,
        "theta": 1e4,
        "original_window": 64.0,
        "target_tokens": float(target),
        "complete": 1,
    }.items():
        stage.attrs[key] = value
    best = stage.create_group("best")
    best["factors"] = [1.0, 1.5, 2.0, 7.0 + order]
    best.attrs["individual"], best.attrs["start_tokens"] = 3, order
    best.attrs["attention_scale"] = 1.25


class CampaignTableTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.history = self.folder / "run" / "search.h5"
        self.history.parent.mkdir()
        with h5py.File(self.history, "w") as file:
            file.attrs["format"], file.attrs["format_version"] = "longrope-history", 2
            for order, (name, target) in enumerate((("1024", 1024), ("4096", 4096), ("64", 64))):
                write_stage(file, name, order, target)
        config = {"hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 64}
        for name in MODELS:
            (self.folder / name).mkdir()
            (self.folder / name / "config.json").write_text(json.dumps(config))
            (self.folder / name / "model.safetensors").write_text(name)
        self.documents = self.folder / "documents.h5"
        self.write_documents(STRETCH)
        self.program = self.folder / "program.py"
        known = {"LOSSES": LOSSES, "MODELS": MODELS}
        lines = [f"{name} = {json.dumps(json.dumps(value))}" for name, value in known.items()]
        self.program.write_text("\n".join(lines) + PROGRAM)

    def write_documents(self, tokens: int) -> None:
        texts = [np.arange(n, n + tokens) % 2000 for n in (1, 501, 900, 1300)]
        titles = ["Search 1/1", "One 1/2", "One 2/2", "Two 1/1"]
        names = ("tokenizer_sha256", "text_sha256", "sources", "licences")
        attributes = {"bos_token_id": 0} | dict.fromkeys(names, "x")
        tokenize_documents.write_tokens(self.documents, texts, titles, [0, 1, 1, 1], attributes)

    def run_script(self, *words: str) -> tuple[int, str, str]:
        argv = ["campaign_table.py", "--history", str(self.history)]
        argv += ["--documents", str(self.documents), "--lengths", ",".join(map(str, LENGTHS))]
        argv += ["--program", f"{sys.executable} {self.program}"]
        for name in MODELS:
            argv += [f"--{name}", str(self.folder / name)]
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(sys, "argv", [*argv, *words]),
            contextlib.chdir(self.folder),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            return campaign_table.main(), out.getvalue(), err.getvalue()

    def calls(self) -> list[dict]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


class Text(CampaignTableTest):
    def test_windows_of_every_length_have_the_same_text_in_the_same_order(self) -> None:
        for tokens in LENGTHS:
            with h5py.File(campaign_cells.cut_windows(self.documents, self.folder, tokens)) as file:
                ids, titles = file["tokens"][:], file["titles"][:]
            inside = STRETCH // (tokens - 1) * (tokens - 1)
            expected = [np.arange(n, n + inside) % 2000 for n in (501, 1300)]
            with self.subTest(tokens):
                np.testing.assert_array_equal(ids, np.concatenate(expected))
                self.assertEqual(titles[0].decode(), f"One 1/{STRETCH // (tokens - 1)}")
                self.assertEqual(len(titles), 2 * (STRETCH // (tokens - 1)))

    def test_a_document_that_is_too_short_is_named(self) -> None:
        self.write_documents(1000)
        with self.assertRaisesRegex(TableError, "'One' fills 1000 of 1024 positions"):
            campaign_cells.cut_windows(self.documents, self.folder, 1024)

    def test_blocks_go_over_windows_but_not_over_books(self) -> None:
        nll = np.arange(6 * 700, dtype=np.float32).reshape(6, 700)
        means = campaign_cells.block_means(nll, ["a"] * 3 + ["b"] * 3)
        self.assertEqual(means.tolist(), [511.5, 511.5 + 1024, 2100 + 511.5, 2100 + 511.5 + 1024])


class Errors(unittest.TestCase):
    def test_a_paired_difference_is_smaller_than_the_spread_of_the_text(self) -> None:
        random = np.random.default_rng(1)
        text = random.normal(4, 0.5, 40)
        ours = Cell(text + random.normal(0.02, 0.01, 40))
        apart = campaign_cells.difference(ours, Cell(text))
        self.assertAlmostEqual(apart.mean, math.expm1((ours.blocks - text).mean()), places=12)
        self.assertLess(apart.standard_error, 0.1 * ours.standard_error)
        self.assertTrue(apart.is_beyond_noise)
        self.assertIn("beyond noise", str(apart))
        self.assertIn("within noise", str(campaign_cells.Difference(0.019, 0.01)))

    def test_the_standard_error_covers_what_is_drawn_again(self) -> None:
        random = np.random.default_rng(2)
        means, errors = [], []
        for _ in range(400):
            cell = Cell(random.normal(3, 0.2, 30))
            means.append(math.log(cell.perplexity))
            errors.append(cell.standard_error)
        self.assertAlmostEqual(np.std(means) / np.mean(errors), 1, delta=0.1)


class Table(CampaignTableTest):
    def test_every_cell_is_measured_once_and_kept(self) -> None:
        status, out, err = self.run_script()
        self.assertEqual(status, 0, err)
        calls = 3 + 4 * 2 + 4 * 3  # of one window, of those to 1,024, of all three
        self.assertEqual(len(self.calls()), calls)
        again = self.run_script()
        self.assertEqual((again[0], again[1]), (0, out))
        self.assertEqual(len(self.calls()), calls)
        rows = out.partition("\n\n")[0].splitlines()
        self.assertEqual(len(rows), 2 + 3 + (6 + 2 + 2 + 3) + (6 + 6 + 6 + 3))
        self.assertIn("| untouched, for 1024 | dynamic-ntk |", out)
        csv = (self.history.parent / "table.csv").read_text().splitlines()
        self.assertEqual(len(csv), 1 + 3 + 2 * (6 + 2 + 2 + 3) + 3 * (6 + 6 + 6 + 3))

    def test_lists_are_measured_where_they_are_for(self) -> None:
        status, out, err = self.run_script("--lengths", "64,128,1024,2048,4096")
        self.assertEqual(status, 0, err)
        near = [row for row in out.splitlines() if row.startswith("| untouched, for 1024 | yarn")]
        far = [row for row in out.splitlines() if row.startswith("| untouched, for 4096 | yarn")]
        measured = [[bool(cell.strip()) for cell in row.split("|")[3:-1]] for row in near + far]
        self.assertEqual(measured[0], [True, True, True, False, False])
        self.assertEqual(measured[1], [True, False, True, True, True])

    def test_columns_follow_from_the_stages(self) -> None:
        self.assertEqual(
            campaign_table.columns_for(256, 2048, 16384), [256, 512, 1024, 2048, 16384]
        )
        self.assertEqual(campaign_table.columns_for(256, 512, 1024), [256, 512, 1024])
        self.assertEqual(campaign_table.columns_for(64, 96, 256), [64, 96, 256])

    def test_rows_have_the_list_and_the_scale_of_their_stage(self) -> None:
        self.assertEqual(self.run_script()[0], 0)
        calls = [call for call in self.calls() if call["--tokens"] == "64"]
        targets = [call["--target-tokens"] for call in calls]
        self.assertEqual(targets, ["64"] * 3 + ["1024"] * 4 + ["4096"] * 4)
        self.assertNotIn("--factors", calls[0])  # the untouched model, under no scale
        self.assertNotIn("--attention-scale", calls[0])
        start_tokens = [call.get("--start-tokens") for call in calls[2:]]
        self.assertEqual(start_tokens, ["2"] + ["0"] * 4 + ["1"] * 4)
        self.assertEqual(calls[3]["--attention-scale"], "1.25")

    def test_differences_are_those_of_the_losses_and_told_with_their_noise(self) -> None:
        out = self.run_script()[1]
        better = 100 * math.expm1(-0.1)
        self.assertIn(
            f"At 1,024, the searched list against YaRN, untouched: {better:+.2f} ± 0.00 %, beyond",
            out,
        )
        # 3.9 + 0.1 of the tuned model against 5.0 of the untouched one.
        self.assertIn(
            f"At 64, the recovered list, tuned, against the untouched model: "
            f"{100 * math.expm1(-1.0):+.2f}",
            out,
        )

    def test_only_what_is_kept_can_be_printed(self) -> None:
        status, out, _ = self.run_script("--kept-only")
        self.assertEqual((status, self.calls()), (0, []))
        self.assertIn("| untouched, for 1024 | yarn |  |  |  |", out)

    def test_what_fails_is_named(self) -> None:
        self.program.write_text("raise SystemExit(4)")
        status, out, err = self.run_script()
        self.assertEqual((status, out), (1, ""))
        self.assertIn("ended with status 4", err)
        with h5py.File(self.history, "a") as file:
            del file["stages/64"]
        self.assertIn("has 2 stages; the campaign has three", self.run_script()[2])


if __name__ == "__main__":
    unittest.main()
