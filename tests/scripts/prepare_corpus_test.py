# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/prepare_corpus_test.py

The Hub is a module of this file; the package `datasets` is not needed.
"""

import contextlib
import io
import sys
import tempfile
import types
import unittest
from pathlib import Path
from unittest import mock

import h5py

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts"), str(Path(__file__).parent)]

import prepare_corpus  # noqa: E402
from tokenize_documents_test import word_tokenizer, words  # noqa: E402


class Rows(list):
    """A streamed data set."""

    def shuffle(self, seed: int, buffer_size: int) -> "Rows":
        return Rows(reversed(self))


class PrepareCorpusTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.tokenizer = self.folder / "tokenizer.json"
        word_tokenizer(2000, adds_bos=True).save(str(self.tokenizer))
        self.asked: list[dict] = []

    def run_script(self, *arguments: object, rows=None):
        """Exit status, stdout and stderr; `rows` is what the Hub has, None without the package."""
        hub = None
        if rows is not None:
            hub = types.ModuleType("datasets")

            def load_dataset(name: str, **options):
                self.asked.append({"name": name, **options})
                if isinstance(rows, Exception):
                    raise rows
                return Rows(rows)

            hub.load_dataset = load_dataset
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(sys.modules, {"datasets": hub}),
            mock.patch.object(sys, "argv", ["prepare_corpus.py", *map(str, arguments)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            try:
                status = prepare_corpus.main()
            except SystemExit as error:
                status = error.code
        return status, out.getvalue(), err.getvalue()

    def file(self, name: str, count: int, first: int = 1) -> Path:
        path = self.folder / name
        path.write_text(words(first, count))
        return path

    def test_local_texts_become_training_documents(self) -> None:
        output = self.folder / "train.h5"
        texts = self.file("one.txt", 5), self.file("two.txt", 7, 100)
        status, out, err = self.run_script(
            "local", *texts, "--tokenizer", self.tokenizer, "--output", output, "--licence", "mine"
        )
        self.assertEqual((status, out), (0, f"{output}: 2 texts, 12 tokens\n"), err)
        with h5py.File(output) as file:
            self.assertEqual(file["titles"][:].tolist(), [b"one", b"two"])
            self.assertEqual(file["split"][:].tolist(), [3, 3])
            self.assertEqual(file.attrs["licences"], b"mine")
            self.assertEqual(file.attrs["bos_token_id"], 0)
        again = ("local", *texts, "--tokenizer", self.tokenizer, "--output", output)
        status, out, err = self.run_script(*again, "--force", "--bos", "none")
        self.assertEqual(status, 0, err)
        with h5py.File(output) as file:
            self.assertEqual(file.attrs["bos_token_id"], -1)

    def test_texts_of_the_hub_are_chosen_by_length_and_number(self) -> None:
        rows = [{"text": words(n, n), "short_book_title": f"Book {n}: A/B"} for n in range(1, 9)]
        status, out, err = self.run_script(
            *("pg19", "--tokenizer", self.tokenizer, "--min-tokens", 3, "--texts", 2),
            *("--output", self.folder / "texts", "--shuffle", 1),
            rows=rows,
        )
        self.assertEqual(status, 0, err)
        files = sorted(path.name for path in (self.folder / "texts").iterdir())
        self.assertEqual(files, ["0001-book-3-a-b.txt", "0002-book-4-a-b.txt"])
        self.assertEqual((self.folder / "texts" / files[0]).read_text(), words(3, 3))
        (asked,) = self.asked
        self.assertEqual((asked["name"], asked["split"]), ("emozilla/pg19", "validation"))
        self.assertTrue(asked["streaming"])

    def test_the_total_is_kept_and_the_order_random(self) -> None:
        rows = [{"text": words(1, 10)}, {"text": " \n"}, {"text": words(1, 20)}]
        output = self.folder / "train.h5"
        status, out, err = self.run_script(
            *("redpajama", "--tokenizer", self.tokenizer, "--max-total-tokens", 25),
            *("--output", output),
            rows=rows,
        )
        self.assertEqual((status, out), (0, f"{output}: 1 texts, 20 tokens\n"), err)
        self.assertIn("1 texts, 20 tokens", err)

    def test_another_data_set_brings_its_own_columns(self) -> None:
        status, _, err = self.run_script(
            *("gutenberg", "--dataset", "me/mine", "--text-column", "body", "--title-column", "n"),
            *("--split", "part", "--revision", "r1", "--output", self.folder / "texts"),
            rows=[{"body": "x", "n": 7}],
        )
        self.assertEqual(status, 0, err)
        self.assertEqual((self.folder / "texts" / "0001-7.txt").read_text(), "x")
        (asked,) = self.asked
        self.assertEqual(
            (asked["name"], asked["split"], asked["revision"]), ("me/mine", "part", "r1")
        )

    def test_what_cannot_be_had_is_said_with_what_to_do(self) -> None:
        output = self.folder / "texts"
        one = ("--output", output)
        training = ("--output", self.folder / "train.h5")
        full = self.folder / "full"
        full.mkdir()
        there = ("--output", self.file("there.h5", 1))
        (full / "file").touch()
        text = self.file("one.txt", 5)
        for words_, rows, told in (
            (("pg19", *one), None, "pip install datasets"),
            (("pg19", *one), ConnectionError("no route"), "ConnectionError: no route"),
            (("pg19", *one), [{"body": "x"}], "has no column 'text'; it has body"),
            (("pg19", *one), [{"text": "x", "short_book_title": "t"}] * 0, "no text was found"),
            (("pg19", "--min-tokens", 5, *one), [], "need --tokenizer"),
            (("local", text, *training), [], "training documents need --tokenizer"),
            (("local", self.folder / "none.txt", *one), [], "cannot read the text"),
            (("local", text, "--output", full), [], "is not empty"),
            (("local", text, *one, "--force"), [], "--force and --bos go with a documents file"),
            (("local", text, "--tokenizer", self.tokenizer, *there), [], "exists already: --force"),
            (
                ("local", text, "--tokenizer", self.tokenizer, *training, "--bos", "x"),
                [],
                "--bos x",
            ),
        ):
            with self.subTest(told):
                status, out, err = self.run_script(*words_, rows=rows)
                self.assertEqual((status, out), (1, ""))
                self.assertIn(told, err)
        for words_ in (("local", *one), ("pg19", text, *one)):
            status, _, err = self.run_script(*words_)
            self.assertEqual(status, 2)
            self.assertIn("`local` needs text files", err)


if __name__ == "__main__":
    unittest.main()
