# SPDX-License-Identifier: Apache-2.0
"""Checks that an export is what the search found, and that one that is not is told.

Usage: python tests/run_python_test.py tests/integration/export_test.py
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
from pathlib import Path
from typing import Any

import h5py
from interrupted_run import library
from search_run import (
    DEMO_DOCUMENTS,
    DEMO_MODEL,
    EXIT_DONE,
    EXIT_STOPPED_EARLY,
    PATIENCE_SECONDS,
    REPOSITORY,
    SearchRun,
    changed,
    demo_search,
    job_environment,
    launcher,
    needs_demo_documents,
    needs_mpirun,
    program,
    run_program,
    synthetic_search,
)

EXIT_SYSTEM = 1
EXIT_USAGE = 2
EXIT_BAD_FILE = 4
EXIT_NOBODY_LEFT = 5
SAME = 1e-6  # relative, of a perplexity


def without_start_tokens() -> dict[str, Any]:
    """A few individuals on the demo, 256 to 1024 tokens."""
    few = {"population": 8, "parents": 4, "mutations": 2, "crossovers": 2, "iterations": 1}
    configuration = changed(demo_search(), stage=few | {"start_tokens": "none"})
    configuration["model"] = {"path": "model"}
    return configuration


@needs_demo_documents()
class Export(unittest.TestCase):
    """One search on a model serves all of them; what a test spoils it has copied."""

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.run_directory = SearchRun(Path(folder.name) / "search", without_start_tokens())
        cls.folder = cls.run_directory.folder
        shutil.copytree(DEMO_MODEL, cls.folder / "model")
        cls.run_directory.complete()

    def rows_and_notes(self, *words: str) -> tuple[dict[str, list[float]], str]:
        """The perplexities of each row at two lengths, and what was said beside them."""
        asked = ("evaluate", "search.toml", "--tokens", "256,1024", "--split", "search", "--json")
        answer = self.ask(*asked, *words)
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        rows: dict[str, list[float]] = {}
        for row in json.loads(answer.stdout)["results"]:
            rows.setdefault(row["method"], []).append(row["perplexity"])
        return rows, answer.stderr

    def test_exported_factors_are_evaluated_with_the_scale_they_were_searched_with(self) -> None:
        self.export("search.toml", "--format", "json", "--output", "made.json")
        words = ("--methods", "none,searched", "--factors", "made.json", "--target-tokens", "512")
        rows, _ = self.rows_and_notes(*words)
        self.assertEqual(rows["factors"], rows["searched"])
        # A scale that is asked for holds for both.
        asked, _ = self.rows_and_notes(*words, "--attention-scale", "1.3")
        self.assertEqual(asked["factors"], asked["searched"])
        self.assertNotEqual(asked["factors"], rows["factors"])

    def test_factors_that_were_searched_on_another_model_are_told(self) -> None:
        words = ("--methods", "searched", "--limit", "1")
        self.assertEqual(self.rows_and_notes(*words)[1], "")
        other = self.folder / "made-model"
        shutil.copytree(self.folder / "model", other)
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps(config | {"note": "not the same bytes"}))
        told = self.rows_and_notes(*words, "--model", str(other))[1]
        self.assertIn("were found on another model (digest", told)

    def tearDown(self) -> None:
        for made in self.folder.glob("made*"):
            shutil.rmtree(made) if made.is_dir() else made.unlink()

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        return run_program(*words, folder=self.folder)

    def export(self, *words: str) -> dict[str, Any]:
        answer = self.ask("export", *words, "--json")
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        return json.loads(answer.stdout)

    def stored(self) -> float:
        """Held-out perplexity of the searched factors in the history."""
        with h5py.File(self.run_directory.history) as file:
            rows = file["stages/long/heldout/scores"][:]
        (row,) = [row for row in rows if row["name"] == b"searched"]
        return float(row["perplexity"])

    def best(self) -> list[float]:
        with h5py.File(self.run_directory.history) as file:
            return list(file["stages/long/best/factors"][:])

    def assert_same(self, one: float, other: float) -> None:
        self.assertLessEqual(abs(one / other - 1), SAME, f"{one} and {other}")

    def scores(self, report: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
        return {(row["list"], row["tokens"]): row for row in report["scores"]}

    def evaluated(self, model: str, method: str, tokens: int, *words: str) -> float:
        answer = self.ask(
            *("evaluate", "--model", model, "--documents", str(DEMO_DOCUMENTS), "--limit", "1"),
            *("--methods", method, "--tokens", str(tokens), "--json", *words),
        )
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        return json.loads(answer.stdout)["results"][-1]["perplexity"]

    def test_a_folder_has_the_perplexity_of_the_history_with_either_list(self) -> None:
        scores = self.scores(self.export("run", "--output", "made"))
        self.assert_same(scores["long list", 1024]["perplexity"], self.stored())
        self.assertEqual(scores["long list", 1024]["stored"], self.stored())
        # evaluate, which knows nothing of the export, finds the same in the folder.
        (number,) = scores["long list", 1024]["documents"]
        with h5py.File(DEMO_DOCUMENTS) as file:
            first = int((file["split"][:] == 1).nonzero()[0][0])
        if number == first:
            self.assert_same(self.evaluated("made", "model", 1024), self.stored())
        scale = json.loads((self.folder / "made/config.json").read_text())["rope_parameters"]
        short = self.evaluated(
            "model", "none", 256, "--attention-scale", str(scale["attention_factor"])
        )
        self.assert_same(self.evaluated("made", "model", 256), short)
        self.assertNotEqual(
            scores["long list", 256]["perplexity"], scores["short list", 256]["perplexity"]
        )

    def test_weights_are_links_or_copies_and_other_keys_stay(self) -> None:
        self.export("run", "--output", "made", "--no-verify")
        self.export("run", "--output", "made-copy", "--no-verify", "--copy")
        old = json.loads((self.folder / "model/config.json").read_text())
        for name in ("made", "made-copy"):
            new = json.loads((self.folder / name / "config.json").read_text())
            changed_keys = {key for key in old | new if old.get(key) != new.get(key)}
            self.assertEqual(
                changed_keys,
                {
                    *("max_position_embeddings", "original_max_position_embeddings"),
                    *("rope_parameters", "rope_scaling"),
                },
            )
            self.assertEqual(new["rope_scaling"]["long_factor"], self.best())
            self.assertEqual(new["rope_parameters"]["short_factor"], [1.0] * 16)
            weights = self.folder / name / "model.safetensors"
            self.assertEqual(weights.is_symlink(), name == "made")
            self.assertEqual(
                weights.read_bytes(), (self.folder / "model/model.safetensors").read_bytes()
            )

    def test_a_tokenizer_that_cuts_at_the_old_window_is_given_the_new_one(self) -> None:
        file = self.folder / "model" / "tokenizer_config.json"
        for longest, written in ((256, 1024), (1024, None), (1e30, None), (None, None)):
            with self.subTest(longest):
                content = {"model_max_length": longest, "padding_side": "left"}
                file.write_text(json.dumps(content))
                output = f"made-{longest}"
                answer = self.ask("export", "run", "--output", output, "--no-verify")
                self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
                found = self.folder / output / "tokenizer_config.json"
                self.assertEqual(found.is_symlink(), written is None)
                expected = content if written is None else content | {"model_max_length": written}
                self.assertEqual(json.loads(found.read_text()), expected)
                overlay = ("--format", "vllm", "--output", f"{output}.json", "--no-verify")
                answer = self.ask("export", "run", *overlay)
                self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
                told = "model_max_length is below 1024, and vLLM serves no more" in answer.stderr
                self.assertEqual(told, written is not None, answer.stderr)
        file.unlink()

    def test_every_format_that_is_a_file_reads_back_with_the_stored_perplexity(self) -> None:
        for format_name in ("vllm", "csv", "json"):
            with self.subTest(format_name):
                report = self.export("run", "--format", format_name, "--output", "made.txt")
                scores = self.scores(report)
                self.assert_same(scores["long list", 1024]["perplexity"], self.stored())
                again = self.ask("export", "run", "--format", format_name, "--output", "made.txt")
                self.assertEqual(again.returncode, EXIT_USAGE, "it is there")
                (self.folder / "made.txt").unlink()

    def test_what_it_wrote_is_imported_again(self) -> None:
        self.export("run", "--format", "json", "--output", "made.json")
        self.export("run", "--format", "csv", "--output", "made.csv")
        self.export("run", "--output", "made-first")
        inputs = ("--model", "model", "--documents", str(DEMO_DOCUMENTS), "--limit", "1")
        for name, words in (
            ("made.json", ()),
            ("made.csv", ("--target-tokens", "1024")),
            ("made-first/config.json", ()),
        ):
            with self.subTest(name):
                report = self.export(*inputs, "--factors", name, "--output", "made-again", *words)
                self.assertIsNone(report["scores"][0]["stored"])
                first = (self.folder / "made-first/config.json").read_text()
                self.assertEqual((self.folder / "made-again/config.json").read_text(), first)
                shutil.rmtree(self.folder / "made-again")

    def test_weights_that_are_not_those_of_the_search_are_told_and_nothing_is_removed(self) -> None:
        shutil.copytree(self.folder / "model", self.folder / "made-other")
        weights = self.folder / "made-other" / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-2000:] = bytes(2000)
        weights.write_bytes(data)
        answer = self.ask("export", "run", "--model", "made-other", "--output", "made")
        self.assertEqual(answer.returncode, EXIT_SYSTEM, answer.stderr)
        self.assertIn("made: the long list has perplexity", answer.stderr)
        self.assertIn("they differ by more than 1e-06. It stays there", answer.stderr)
        self.assertIn("the factors were found on another model (digest ", answer.stderr)
        self.assertTrue((self.folder / "made/config.json").is_file())
        # Unseen, it is written as it is asked for.
        answer = self.ask(
            *("export", "run", "--model", "made-other", "--output", "made-unseen", "--no-verify")
        )
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        self.assertIn("Read back as written; not scored.", answer.stdout)
        self.assertIn("the factors were found on another model (digest ", answer.stderr)
        # Nor does a file of factors say that they were found on the weights they are scored with.
        self.export("run", "--format", "json", "--output", "made-factors.json", "--no-verify")
        written = json.loads((self.folder / "made-factors.json").read_text())
        inputs = ("--model", "made-other", "--documents", str(DEMO_DOCUMENTS), "--limit", "1")
        words = (*inputs, "--factors", "made-factors.json", "--output", "made-again.json")
        answer = self.ask("export", *words, "--format", "json")
        self.assertIn("the factors were found on another model (digest ", answer.stderr)
        again = json.loads((self.folder / "made-again.json").read_text())
        self.assertEqual(again["model_digest"], written["model_digest"])

    def test_weights_without_a_finite_loss_are_told(self) -> None:
        shutil.copytree(self.folder / "model", self.folder / "made-other")
        weights = self.folder / "made-other" / "model.safetensors"
        data = bytearray(weights.read_bytes())
        data[-2:] = b"\xc0\x7f"  # NaN, in float16 and bfloat16 alike
        weights.write_bytes(data)
        inputs = ("--model", "made-other", "--documents", str(DEMO_DOCUMENTS), "--limit", "1")
        self.ask("export", "run", "--format", "csv", "--drop-start-tokens", "--output", "made.csv")
        factors = ("--factors", "made.csv", "--target-tokens", "512")
        answer = self.ask("export", *inputs, *factors, "--output", "made")
        self.assertEqual(answer.returncode, EXIT_SYSTEM, answer.stderr)
        self.assertIn("give no finite loss", answer.stderr)

    def test_an_export_that_cannot_be_scored_is_taken_away(self) -> None:
        nowhere = ("--isa", "baseline", "--precision", "bf16")  # bf16 takes AVX-512
        for there in (False, True):
            if there:
                (self.folder / "made").mkdir()
            answer = self.ask("export", "run", "--output", "made", *nowhere)
            self.assertEqual(answer.returncode, EXIT_NOBODY_LEFT, answer.stderr)
            self.assertEqual((self.folder / "made").exists(), there)
            self.assertEqual(list(self.folder.glob("made/*")), [])
        answer = self.ask("export", "run", "--output", "made")
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        # Nor is what somebody else put there.
        link = self.folder / "made-link"
        link.symlink_to("made-nowhere")
        answer = self.ask("export", "run", "--output", "made-link")
        self.assertEqual(answer.returncode, EXIT_USAGE, answer.stderr)
        self.assertTrue(link.is_symlink())

    def test_an_export_that_is_interrupted_is_taken_away(self) -> None:
        words = [str(program()), "export", "run", "--output", "made"]
        with subprocess.Popen(words, cwd=self.folder, stdout=subprocess.DEVNULL) as exporting:
            while not (self.folder / "made/config.json").exists():
                self.assertIsNone(exporting.poll(), "it ended before it could be interrupted")
                time.sleep(0.001)
            exporting.send_signal(signal.SIGINT)
            self.assertEqual(exporting.wait(PATIENCE_SECONDS), EXIT_STOPPED_EARLY)
        self.assertFalse((self.folder / "made").exists())

    def test_a_copy_that_is_interrupted_ends_within_a_file(self) -> None:
        (self.folder / "made-model").mkdir()
        for file in (self.folder / "model").iterdir():
            (self.folder / "made-model" / file.name).symlink_to(file)
        blocks = 16  # of what is copied at once
        with (self.folder / "made-model" / "large.bin").open("wb") as file:
            file.truncate(blocks * (4 << 20))
        copied = self.folder / "made" / "large.bin"
        calls = self.folder / "made-calls"
        watched = {
            "LD_PRELOAD": str(library()),
            "ASAN_OPTIONS": "verify_asan_link_order=0",
            "CALLS_FOLDER": str(copied.resolve()),
            "CALLS_LIST": str(calls),
            "CALLS_AT": "3",  # its opening and a write come before
            "CALLS_ACTION": "stop",
        }
        flags = ("--model", "made-model", "--output", "made", "--copy", "--no-verify")
        with subprocess.Popen(
            [str(program()), "export", "run", *flags],
            cwd=self.folder,
            env=job_environment() | watched,
            stdout=subprocess.DEVNULL,
        ) as exporting:
            _, status = os.waitpid(exporting.pid, os.WUNTRACED)
            self.assertTrue(os.WIFSTOPPED(status), "it ended before it could be interrupted")
            exporting.send_signal(signal.SIGINT)
            exporting.send_signal(signal.SIGCONT)
            self.assertEqual(exporting.wait(PATIENCE_SECONDS), EXIT_STOPPED_EARLY)
        written = [line for line in calls.read_text().splitlines() if line.split()[2] == "write"]
        self.assertLess(len(written), blocks)
        self.assertFalse((self.folder / "made").exists())

    def test_other_documents_than_those_of_the_scores_are_refused(self) -> None:
        other = self.folder / "made-documents.h5"
        shutil.copy(DEMO_DOCUMENTS, other)
        with h5py.File(other, "r+") as file:
            del file.attrs["tokens_sha256"]
            file["tokens"][5] = 6 if file["tokens"][5] != 6 else 7
        answer = self.ask("export", "run", "--documents", other.name, "--output", "made")
        self.assertEqual(answer.returncode, EXIT_BAD_FILE, answer.stderr)
        self.assertIn("name them with --documents", answer.stderr)
        self.assertFalse((self.folder / "made").exists())

    def test_dropped_start_tokens_are_scored_with_and_without(self) -> None:
        inputs = ("--model", "model", "--documents", str(DEMO_DOCUMENTS), "--limit", "1")
        factors = "".join(f"{factor!r}\n" for factor in map(float, self.best()))
        (self.folder / "made-factors.csv").write_text(factors)
        lists = ("--factors", "made-factors.csv", "--target-tokens", "1024", "--start-tokens", "16")
        report = self.export(*inputs, *lists, "--output", "made", "--drop-start-tokens")
        self.assertEqual(report["dropped_start_tokens"], [16, 0])
        kept, dropped = report["scores"][:2]
        self.assertEqual((kept["start_tokens"], dropped["start_tokens"]), (16, 0))
        with_them = self.evaluated("model", "none", 1024, *lists[:2], *lists[4:])
        self.assert_same(kept["perplexity"], with_them)
        self.assert_same(dropped["perplexity"], self.evaluated("made", "model", 1024))
        self.assertNotEqual(kept["perplexity"], dropped["perplexity"])
        # Our own format keeps them.
        self.export(*inputs, *lists, "--format", "json", "--output", "made.json")
        native = json.loads((self.folder / "made.json").read_text())
        self.assertEqual(native["n_hat"], 16)

    def test_a_folder_may_be_named_with_a_slash(self) -> None:
        report = self.export("run", "--output", "made/", "--no-verify")
        self.assertEqual(report["output"], "made")
        self.assertTrue((self.folder / "made/config.json").is_file())

    def test_dips_are_told_and_repaired_on_demand(self) -> None:
        dipping = [1.0] * 14 + [3.0, 2.0]
        (self.folder / "made.csv").write_text("\n".join(map(str, dipping)))
        words = ("export", "--model", "model", "--factors", "made.csv", "--target-tokens", "512")
        answer = self.ask(*words, "--output", "made")
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        self.assertIn(
            "1 of 16 factors are below the one before, the first at index 15", answer.stderr
        )
        answer = self.ask(*words, "--output", "made-repaired", "--repair")
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        for name, last in (("made", 2.0), ("made-repaired", 3.0)):
            config = json.loads((self.folder / name / "config.json").read_text())
            self.assertEqual(config["rope_parameters"]["long_factor"][-2:], [3.0, last])

    def test_the_report_is_a_table(self) -> None:
        answer = self.ask("export", "run", "--output", "made")
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        self.assertIn("Wrote made: config.json, and links to", answer.stdout)
        self.assertIn("256 to 1024 tokens", answer.stdout)
        self.assertRegex(
            answer.stdout, r"long list +1024 +\d+\.\d+ +\d+\.\d+ +\d\.\de[+-]\d+  heldout"
        )
        self.assertRegex(answer.stdout, r"short list +256 +\d+\.\d+\n")
        self.assertRegex(answer.stdout, r"long list +256 +\d+\.\d+\n")


@unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
class Recorded(unittest.TestCase):
    """What transformers and llama.cpp made of an export of the demo, each with the list that it
    chose by itself: scripts/compare_exports.py recorded it."""

    def test_an_export_has_the_perplexities_that_other_programs_found(self) -> None:
        fixtures = REPOSITORY / "tests" / "fixtures"
        record = json.loads((fixtures / "exports.json").read_text())
        documents = str(fixtures / "parity" / record["documents"])
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for list_name in ("long", "short"):
                factors = record[f"{list_name}_factor"]
                (folder / f"{list_name}.json").write_text(json.dumps(factors))
            answer = run_program(
                *("export", "--model", str(DEMO_MODEL), "--output", "made"),
                *("--factors", "long.json", "--short-factors", "short.json"),
                *("--target-tokens", str(record["target_tokens"])),
                folder=folder,
            )
            self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
            config = json.loads((folder / "made" / "config.json").read_text())
            scale = str(config["rope_parameters"]["attention_factor"])
            self.assertAlmostEqual(float(scale), record["attention_scale"], places=6)
            found = {}
            for tokens in (record["original_window"], record["target_tokens"]):
                inputs = ("--documents", documents, "--split", "search", "--tokens", str(tokens))
                for takes, words in (
                    ("chosen", ("--model", "made", "--methods", "model")),
                    ("long", ("--model", str(DEMO_MODEL), "--methods", "none")),
                ):
                    if takes == "long":
                        words += ("--factors", "long.json", "--attention-scale", scale)
                    angles = ("--angles", "float32", "--json")
                    answer = run_program("evaluate", *inputs, *words, *angles, folder=folder)
                    self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
                    row = json.loads(answer.stdout)["results"][-1]
                    found[tokens, takes] = row["perplexity"]
        window = record["original_window"]
        self.assertGreater(abs(found[window, "long"] / found[window, "chosen"] - 1), 0.01)
        programs = set()
        for row in record["rows"]:
            with self.subTest(program=row["program"], tokens=row["tokens"]):
                programs.add(row["program"].split()[0])
                short = row["tokens"] <= window
                takes = "long" if short and row["takes"] == "long" else "chosen"
                ours = found[row["tokens"], takes]
                self.assertLessEqual(abs(ours / row["found"] - 1), 1e-3)
        self.assertEqual(programs, {"longrope", "transformers", "llama.cpp"})


class Landscape(unittest.TestCase):
    """Without a model: what a history alone decides."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.search = SearchRun(Path(folder.name) / "search", synthetic_search(iterations=1))

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        words = ("export", "run", "--output", "made.txt", *words)
        return run_program(*words, folder=self.search.folder)

    @needs_mpirun()
    def test_ranks_share_the_scores(self) -> None:
        self.search.complete()
        alone = self.ask("--format", "json", "--json")
        self.assertEqual(alone.returncode, EXIT_DONE, alone.stderr)
        words = ("export", "run", "--format", "json", "--output", "made.txt", "--force", "--json")
        done = subprocess.run(
            [*launcher(2), str(program()), *words],
            cwd=self.search.folder,
            env=job_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        self.assertEqual(json.loads(done.stdout), json.loads(alone.stdout), done.stderr)
        (stored,) = [
            row["stored"] for row in json.loads(alone.stdout)["scores"] if row["stored"] is not None
        ]
        self.assertGreater(stored, 1.0)

    def test_a_stage_that_is_not_complete_is_told(self) -> None:
        self.search.complete()
        self.search.run("--iterations", "400", "--time-limit", "0.5")
        answer = self.ask("--format", "json", "--drop-start-tokens")
        self.assertEqual(answer.returncode, EXIT_USAGE, "our own format keeps them")
        answer = self.ask("--format", "json")
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        if self.search.state() != "complete":
            self.assertIn('stage "long" is not complete', answer.stderr)

    def test_a_recovered_list_is_exported_by_itself(self) -> None:
        toml = (self.search.folder / "search.toml").read_text()
        stage = toml[toml.index("[[stage]]") :]
        short = stage.replace('"long"', '"short"').replace("= 2048", "= 256")
        short += 'kind = "recovery"\nbase = "long"\n'
        (self.search.folder / "search.toml").write_text(toml + short)
        self.search.complete()
        with h5py.File(self.search.history) as file:
            recovered = list(file["stages/short/best/factors"][:])
        for format_name, more in (("csv", ("--drop-start-tokens",)), ("json", ())):
            words = ("--format", format_name, "--stage", "short", "--force", *more)
            answer = self.ask(*words)
            self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
            self.assertIn("  256 tokens, attention scale", answer.stdout)
            self.assertRegex(answer.stdout, r"list[^\n]* +256 +\d+\.\d+ +\d+\.\d+ +[^\n]*heldout")
            text = (self.search.folder / "made.txt").read_text()
            if format_name == "csv":
                self.assertEqual([float(line) for line in text.splitlines()], recovered)
        native = json.loads(text)
        self.assertEqual((native["lambda_long"], native["lambda_short"]), (recovered, None))
        self.assertEqual(native["target_tokens"], 256)

    def test_of_several_stages_one_is_named(self) -> None:
        toml = (self.search.folder / "search.toml").read_text()
        stage = toml[toml.index("[[stage]]") :]
        other = stage.replace('"long"', '"longer"').replace("= 2048", "= 4096")
        (self.search.folder / "search.toml").write_text(toml + other)
        self.search.complete()
        answer = self.ask("--format", "json")
        self.assertEqual(answer.returncode, EXIT_USAGE, answer.stderr)
        self.assertIn("say which with --stage, one of long, longer", answer.stderr)
        for name, tokens in (("long", 2048), ("longer", 4096)):
            answer = self.ask("--format", "json", "--stage", name, "--force")
            self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
            native = json.loads((self.search.folder / "made.txt").read_text())
            self.assertEqual((native["stage"], native["target_tokens"]), (name, tokens))
            self.assertEqual(native["score"]["split"], "heldout")


if __name__ == "__main__":
    unittest.main()
