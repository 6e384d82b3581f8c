# SPDX-License-Identifier: Apache-2.0
"""Checks sliding windows of evaluate against a sum by hand, and the files that it writes.

Usage: python tests/run_python_test.py tests/integration/evaluate_test.py
"""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

import h5py
import numpy
from bad_input import EXIT_SYSTEM, EXIT_USAGE
from bad_surroundings import file_size_limit
from search_run import (
    DEMO_MODEL,
    EXIT_BAD_FILE,
    EXIT_DONE,
    EXIT_NOBODY_LEFT,
    PATIENCE_SECONDS,
    SearchRun,
    changed,
    job_environment,
    launcher,
    needs_mpirun,
    program,
    run_program,
    synthetic_search,
    to_toml,
)
from spoiled_files import not_numbers, write_documents

WINDOWS = ("--window", "64,128", "--stride", "48", "--tokens", "300", "--split", "search")


@unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
class Evaluate(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        write_documents(self.folder / "documents.h5")
        inputs = ("--model", str(DEMO_MODEL), "--documents", "documents.h5")
        self.words = ("evaluate", *inputs, "--methods", "none,yarn", "--json")

    def read(self, *words: str) -> dict[str, Any]:
        answer = run_program(*self.words, *words, folder=self.folder)
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        return json.loads(answer.stdout)

    def rows(self, report: dict[str, Any]) -> dict[tuple[str, int], dict[str, Any]]:
        return {(row["method"], row["tokens"]): row for row in report["results"]}

    def scored_by_hand(self, window: int, stride: int, read: int, method: str) -> tuple[float, int]:
        """Sum and count over the windows of the first document, each evaluated by itself."""
        with h5py.File(self.folder / "documents.h5") as file:
            bos = int(file.attrs["bos_token_id"]) >= 0
            number = int(numpy.flatnonzero(file["split"][:] == 0)[0])
            offsets = file["offsets"][:]
            tokens = file["tokens"][offsets[number] : offsets[number + 1]][: read - bos]
        total, count, scored = 0.0, 0, 0
        for begin in range(0, len(tokens), stride):
            end = min(begin + window - bos, len(tokens))
            # The window as a document of its own.
            with h5py.File(self.folder / "documents.h5") as old:
                with h5py.File(self.folder / "window.h5", "w") as new:
                    for key, value in old.attrs.items():
                        if key != "tokens_sha256":
                            new.attrs.create(key, value)
                    new["tokens"] = tokens[begin:end].astype("<i4")
                    new["offsets"] = numpy.array([0, end - begin], "<i8")
                    new["titles"] = old["titles"][:1]
                    new["split"] = numpy.zeros(1, "u1")
            answer = run_program(
                *("evaluate", "--model", str(DEMO_MODEL), "--documents", "window.h5"),
                *("--split", "search", "--methods", method, "--target-tokens", str(window)),
                *("--tokens", str(end - begin + bos), "--per-token", "window-nll.h5", "--force"),
                folder=self.folder,
            )
            self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
            with h5py.File(self.folder / "window-nll.h5") as file:
                nll = file[f"{method}/{end - begin + bos}/nll"][0]
            fresh = min(end - max(scored, begin), len(nll))
            total += float(nll[len(nll) - fresh :].astype(float).sum())
            count += fresh
            scored = end
            if end == len(tokens):
                break
        return total, count

    def test_windows_add_up_to_what_each_is_by_itself(self) -> None:
        report = self.read(
            "--window", "64", "--stride", "48", "--tokens", "200", "--split", "search"
        )
        row = self.rows(report)["yarn", 64]
        total, count = self.scored_by_hand(64, 48, 200, "yarn")
        document = row["documents"][0]
        self.assertEqual(document["scored_tokens"], count)
        self.assertAlmostEqual(document["sum_nll"], total, delta=1e-4 * total)
        self.assertEqual(len(row["documents"]), 1)
        self.assertAlmostEqual(row["perplexity"], math.exp(document["sum_nll"] / count), places=9)

    def test_a_window_as_long_as_what_is_read_is_the_document_read_whole(self) -> None:
        whole = self.rows(self.read("--tokens", "256", "--split", "search"))
        slid = self.rows(
            self.read("--window", "256", "--stride", "100", "--tokens", "256", "--split", "search")
        )
        for cell, row in whole.items():
            self.assertEqual(slid[cell]["documents"], row["documents"])
            self.assertEqual(row["perplexity"], slid[cell]["perplexity"])
            self.assertAlmostEqual(
                slid[cell]["perplexity_window_mean"], row["perplexity"], places=9
            )

    def test_documents_that_fill_the_longest_length_are_taken(self) -> None:
        with h5py.File(self.folder / "documents.h5", "a") as file:
            first = file["tokens"][:600]
            replacing = {
                "tokens": numpy.concatenate([first, first[:300]]),
                "offsets": numpy.array([0, 600, 900], "<i8"),
                "titles": file["titles"][:2],
                "split": numpy.ones(2, "u1"),
            }
            for name, values in replacing.items():
                del file[name]
                file[name] = values
            file.attrs.pop("tokens_sha256", None)
        target = ("--target-tokens", "512")
        both = self.rows(self.read(*target, "--tokens", "64,256"))
        self.assertEqual(len(both["yarn", 64]["documents"]), 2)
        answer = run_program(*self.words, *target, "--tokens", "64,512", folder=self.folder)
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        self.assertIn('left out of split "heldout": 1 shorter than 512 tokens', answer.stderr)
        found = self.rows(json.loads(answer.stdout))
        self.assertEqual({len(row["documents"]) for row in found.values()}, {1})
        self.assertEqual(found["none", 64]["documents"], both["none", 64]["documents"][:1])
        none = run_program(*self.words, "--tokens", "700", folder=self.folder)
        self.assertEqual(none.returncode, EXIT_USAGE, none.stderr)
        self.assertIn('positions; of the 2 of split "heldout" none fills them', none.stderr)

    @needs_mpirun()
    def test_ranks_share_the_windows_and_find_the_same(self) -> None:
        alone = self.read(*WINDOWS)
        done = subprocess.run(
            [*launcher(2), str(program()), *self.words, *WINDOWS, "--threads", "1"],
            cwd=self.folder,
            env=job_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        self.assertEqual(json.loads(done.stdout), alone, done.stderr)

    def test_csv_and_hdf5_say_what_json_says(self) -> None:
        report = self.read(*WINDOWS, "--csv", "table.csv", "--hdf5", "scores.h5")
        with (self.folder / "table.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        self.assertEqual(len(table), 4)
        for row, cell in zip(table, report["results"], strict=True):
            self.assertEqual((row["method"], int(row["tokens"])), (cell["method"], cell["tokens"]))
            self.assertEqual(float(row["perplexity"]), cell["perplexity"])
            self.assertEqual(float(row["perplexity_window_mean"]), cell["perplexity_window_mean"])
            self.assertEqual(int(row["windows"]), cell["windows"])
            self.assertEqual(int(row["stride"]), 48)
            self.assertEqual(row["reference"], "yarn")
            self.assertEqual(float(row["difference_percent"]), cell["difference"]["percent"])
            self.assertEqual(row["standard_error"], "", "there is one document")
        with h5py.File(self.folder / "scores.h5") as file:
            self.assertEqual(file.attrs["format"], b"longrope-evaluation")
            self.assertEqual(int(file.attrs["stride"]), 48)
            self.assertEqual(list(file["method"][:]), [b"none", b"yarn"])
            self.assertEqual(list(file["tokens"][:]), [64, 128])
            for m, method in enumerate(("none", "yarn")):
                for w, window in enumerate((64, 128)):
                    cell = self.rows(report)[method, window]
                    self.assertEqual(file["perplexity"][m, w], cell["perplexity"])
                    sums = [document["sum_nll"] for document in cell["documents"]]
                    self.assertEqual(list(file["document_nll"][m, w]), sums)
                    self.assertEqual(list(file["factors"][m]), cell["factors"])
            self.assertEqual(file["perplexity"].attrs["units"], b"1")

    def test_the_tokenizer_of_tuned_weights_may_have_been_written_anew(self) -> None:
        shutil.copytree(DEMO_MODEL, self.folder / "tuned")
        with (self.folder / "tuned" / "tokenizer.json").open("a") as file:
            file.write("\n")
        stages = "".join(
            to_toml({"stage": {"name": name, "target_tokens": target} | more})
            for name, target, more in (
                ("first", 300, {}),
                ("second", 600, {"base": "first", "model": "tuned"}),
            )
        )
        run = {
            "model": {"path": str(DEMO_MODEL)},
            "documents": {"path": "documents.h5"},
            "run": {"directory": "run"},
        }
        (self.folder / "search.toml").write_text(to_toml(run) + stages)
        words = ("evaluate", "search.toml", "--methods", "none", "--tokens", "300")
        words = (*words, "--split", "search")
        tuned = run_program(*words, "--stage", "second", folder=self.folder)
        self.assertEqual(tuned.returncode, EXIT_DONE, tuned.stderr)
        self.assertEqual(tuned.stderr, "")
        # A search on it does not begin; what is evaluated once is scored, and it is said.
        other = run_program(*words, "--stage", "first", "--model", "tuned", folder=self.folder)
        self.assertEqual(other.returncode, EXIT_DONE, other.stderr)
        self.assertIn("made with another tokenizer", other.stderr)

    def test_a_perplexity_that_is_no_number_is_an_error(self) -> None:
        shutil.copytree(DEMO_MODEL, self.folder / "model")
        not_numbers("model.norm.weight")(self.folder)
        inputs = ("--model", "model", "--documents", "documents.h5", "--split", "search")
        words = ("evaluate", *inputs, "--methods", "none,pi", "--tokens", "64", "--json")
        answer = run_program(*words, folder=self.folder)
        self.assertEqual(answer.returncode, EXIT_SYSTEM, answer.stderr)
        self.assertIn("longrope: the perplexity of none at 64 tokens is ", answer.stderr)
        self.assertIsNone(json.loads(answer.stdout)["results"][0]["perplexity"])

    def test_with_force_an_earlier_file_is_replaced_whole_or_not_at_all(self) -> None:
        whole = ("--tokens", "64", "--split", "search")
        flags = {"--csv": "table.csv", "--hdf5": "scores.h5", "--per-token": "losses.h5"}
        for flag, name in flags.items():
            with self.subTest(flag):
                self.read(*whole, flag, name)
                earlier = (self.folder / name).read_bytes()
                with file_size_limit(len(earlier) // 2):
                    words = (*self.words, *whole, flag, name, "--force")
                    answer = run_program(*words, folder=self.folder)
                self.assertEqual(answer.returncode, EXIT_SYSTEM, answer.stderr)
                self.assertIn(f"longrope: cannot write {name}.", answer.stderr)
                self.assertIn("File too large", answer.stderr)
                self.assertEqual((self.folder / name).read_bytes(), earlier)
                self.read(*whole, "--target-tokens", "512", flag, name, "--force")
                self.assertNotEqual((self.folder / name).read_bytes(), earlier)
        left = sorted(path.name for path in self.folder.iterdir())
        self.assertEqual(left, sorted([*flags.values(), "documents.h5"]))


class Landscape(unittest.TestCase):
    def test_the_error_of_a_perplexity_is_that_of_its_documents(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "search.toml").write_text(to_toml(synthetic_search()))
            words = ("evaluate", "search.toml", "--tokens", "2048", "--methods", "pi", "--json")
            answer = run_program(*words, folder=Path(folder))
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        (row,) = json.loads(answer.stdout)["results"]
        means = numpy.array([d["sum_nll"] / d["scored_tokens"] for d in row["documents"]])
        self.assertGreater(len(means), 2)
        error = math.exp(means.mean()) * means.std(ddof=1) / math.sqrt(len(means))
        self.assertAlmostEqual(row["standard_error"], error, places=9)
        self.assertNotIn("difference", row)

    def test_a_run_is_named_by_its_folder_or_history_wherever_they_are(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            run = synthetic_search(population=4, parents=2, mutations=2, crossovers=2, iterations=1)
            run["run"] = {"directory": "runs/first"}
            (folder / "search.toml").write_text(to_toml(run))
            searched = run_program("search", "search.toml", folder=folder)
            self.assertEqual(searched.returncode, EXIT_DONE, searched.stderr)
            words = ("--tokens", "2048", "--json")
            by_file = run_program("evaluate", "search.toml", *words, folder=folder)
            self.assertEqual(by_file.returncode, EXIT_DONE, by_file.stderr)
            rows = json.loads(by_file.stdout)["results"]
            self.assertIn("searched", [row["method"] for row in rows])
            # A configuration may be called anything that is no history.
            shutil.copy(folder / "search.toml", folder / "a, b")
            odd = run_program("evaluate", "a, b", *words, folder=folder)
            self.assertEqual(odd.stdout, by_file.stdout, odd.stderr)
            for verb in ("status", "verify"):
                answer = run_program(verb, "a, b", folder=folder)
                self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
            (folder / "runs/first").rename(folder / "moved")
            shutil.copy(folder / "moved/search.h5", folder / "kept.h5")
            for run_word in ("moved", "moved/search.h5", "kept.h5"):
                with self.subTest(run_word):
                    answer = run_program("evaluate", run_word, *words, folder=folder)
                    self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
                    self.assertEqual(answer.stdout, by_file.stdout)
            # The file that is read is not written over, whatever it is called.
            over = ("--hdf5", "kept.h5", "--force")
            answer = run_program("evaluate", "kept.h5", *words, *over, folder=folder)
            self.assertEqual(answer.returncode, EXIT_USAGE, answer.stderr)
            # Nor does a folder in which nothing was searched pass for a run.
            (folder / "empty").mkdir()
            answer = run_program("evaluate", "empty", *words, folder=folder)
            self.assertEqual(answer.returncode, EXIT_BAD_FILE, answer.stderr)
            self.assertIn("empty/search.h5 does not exist: no search was begun", answer.stderr)

    def test_cells_that_fail_cost_the_others_nothing_and_are_named(self) -> None:
        poisoned = synthetic_search(fault="error", poison_every=2)
        readings = {
            "whole": ("--tokens", "256,2048", "--per-token", "losses.h5"),
            "windows": ("--window", "256,512", "--tokens", "1000", "--target-tokens", "2048"),
        }
        for reading, words in readings.items():
            with self.subTest(reading), tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                (folder / "search.toml").write_text(to_toml(poisoned))
                words = ("evaluate", "search.toml", "--methods", "pi,ntk,yarn,none", *words)
                words = (*words, "--limit", "2")
                files = ("--csv", "table.csv", "--hdf5", "scores.h5")
                answer = run_program(*words, *files, "--json", folder=folder)
                self.assertEqual(answer.returncode, EXIT_NOBODY_LEFT, answer.stderr)
                rows = json.loads(answer.stdout)["results"]
                failed = {(row["method"], row["tokens"]) for row in rows if "failure" in row}
                # Poison is in the factors: of a method all lengths fail, and pi's are scored.
                self.assertEqual({method for method, _ in failed}, {"ntk", "yarn", "none"})
                self.assertEqual((len(rows), len(failed)), (8, 6))
                self.assertIn("longrope: 6 of 8 cells failed for good, and the", answer.stderr)
                for method, tokens in failed:
                    told = rf'\n  {method} at {tokens} tokens, document \d+ \("synthetic heldout '
                    self.assertRegex(answer.stderr, told)
                self.assertIn("synthetic fault: error", answer.stderr)
                with (folder / "table.csv").open(newline="") as file:
                    table = {
                        (row["method"], int(row["tokens"])): row for row in csv.DictReader(file)
                    }
                with h5py.File(folder / "scores.h5") as file:
                    perplexity, sums = file["perplexity"][:], file["document_nll"][:]
                    scored = file["document_tokens"][:]
                for i, row in enumerate(rows):
                    cell = row["method"], row["tokens"]
                    at = divmod(i, 2)
                    unscored = [document["sum_nll"] is None for document in row["documents"]]
                    self.assertEqual(any(unscored), cell in failed)
                    self.assertEqual(row["perplexity"] is None, cell in failed)
                    self.assertEqual(table[cell]["perplexity"] == "", cell in failed)
                    self.assertEqual(numpy.isnan(perplexity[at]), cell in failed)
                    self.assertEqual(list(numpy.isnan(sums[at])), unscored)
                    self.assertEqual(list(scored[at] == 0), unscored)
                if reading == "whole":
                    with h5py.File(folder / "losses.h5") as file:
                        self.assertTrue(numpy.isnan(file["ntk/256/nll"][0]).all())
                        self.assertTrue(numpy.isfinite(file["pi/256/nll"][:]).all())
                    words = (*words, "--force")
                text = run_program(*words, folder=folder)
                self.assertEqual(text.returncode, EXIT_NOBODY_LEFT, text.stderr)
                self.assertRegex(text.stdout, r"\nntk +failed +failed\n")
                self.assertNotRegex(text.stdout, r"\b(nan|inf)\b")

    def test_of_a_run_the_vectors_are_for_the_target_of_its_stage(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "search.toml").write_text(to_toml(synthetic_search(target_tokens=1024)))
            words = ("evaluate", "search.toml", "--methods", "none,pi", "--limit", "1")
            for tokens in ("256", "256,1024", "256,4096"):
                with self.subTest(tokens):
                    answer = run_program(*words, "--tokens", tokens, "--json", folder=folder)
                    report = json.loads(answer.stdout)
                    self.assertEqual(report["target_tokens"], 1024)
                    self.assertEqual(set(report["results"][-1]["factors"]), {4.0})
            answer = run_program(*words, "--tokens", "256", folder=folder)
            self.assertIn('for 1024 tokens (the target of stage "long"), original', answer.stdout)
            more = ("--tokens", "256", "--target-tokens", "512")
            answer = run_program(*words, *more, folder=folder)
            self.assertIn("vectors for 512 tokens, original window 256", answer.stdout)
            # Within the window all methods would be one: those of a recovery are for the columns.
            (folder / "search.toml").write_text(to_toml(synthetic_search(target_tokens=128)))
            answer = run_program(*words, "--tokens", "128,1024", "--json", folder=folder)
            report = json.loads(answer.stdout)
            self.assertEqual(report["target_tokens"], 1024)
            self.assertEqual(set(report["results"][-1]["factors"]), {4.0})

    def test_a_run_without_the_row_searched_says_why(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            search = changed(synthetic_search(), **{"evaluator.synthetic": {"duration_ms": 100}})
            run = SearchRun(Path(name) / "search", search)
            self.addCleanup(run.clean_up)
            words = ("evaluate", "search.toml", "--tokens", "256", "--limit", "1")

            def told(*more: str) -> str:
                answer = run_program(*words, *more, folder=run.folder)
                self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
                self.assertNotIn("searched ", answer.stdout)
                return answer.stderr

            self.assertEqual(told(), "no history in run: no row searched\n")
            self.assertEqual(told("--methods", "none,pi"), "")
            run.start()
            run.wait_for_scores(1)  # of the baselines, which come first
            run.kill_job()
            said = 'stage "long" has found no factors yet in run: no row searched\n'
            self.assertEqual(told(), said)
            self.assertEqual(told("--methods", "none,pi"), "")

    def test_windows_over_a_landscape_score_every_token_once(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "search.toml").write_text(to_toml(synthetic_search()))
            words = ("--window", "512", "--stride", "256", "--tokens", "5000", "--json")
            answer = run_program("evaluate", "search.toml", *words, folder=Path(folder))
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        for row in json.loads(answer.stdout)["results"]:
            for document in row["documents"]:
                self.assertEqual(document["scored_tokens"], 4999)  # the first has none before it


if __name__ == "__main__":
    unittest.main()
