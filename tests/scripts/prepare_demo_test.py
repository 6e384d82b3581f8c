# SPDX-License-Identifier: Apache-2.0
"""Usage: python -m unittest discover -s tests/scripts -p "*_test.py"  (in the repository root)

No network: `apt-get` is a small script on a PATH of the test's own, and the packages are made here.
"""

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
import zlib
from pathlib import Path
from unittest import mock

import h5py
import numpy

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts"), str(Path(__file__).parent)]

import demo_texts  # noqa: E402
import prepare_demo  # noqa: E402
from demo_texts_test import bible_data  # noqa: E402
from r_data_test import HEADER_V2, integers, named_list, strings  # noqa: E402
from run_main import run_main  # noqa: E402
from tokenize_documents import Cut  # noqa: E402
from tokenize_documents_test import word_tokenizer, words  # noqa: E402

REFERENCE = struct.pack(">i", 255 | 1 << 8)
NOVELS = {
    book.variable: [words(1 + 300 * number, 150), words(151 + 300 * number, 150)]
    for number, book in enumerate(demo_texts.BOOKS)
    if book.package == demo_texts.AUSTEN_PACKAGE
}
BIBLE = b"A made-up edition.\nGe1:1 %b\nActs1:1 %b\nRev22:21 w1999\n" % (
    words(1, 20).encode(),
    words(1700, 199).encode(),
)


def r_database(vectors: dict[str, list[str]]) -> tuple[bytes, bytes]:
    """The .rdx and .rdb of some character vectors."""
    data, places = b"", []
    for lines in vectors.values():
        value = HEADER_V2 + strings(*lines)
        record = struct.pack(">I", len(value)) + zlib.compress(value)
        places.append(integers(len(data), len(record)))
        data += record
    variables = named_list(list(vectors), places)
    index = HEADER_V2 + named_list(["variables"], [variables], symbol=REFERENCE)
    return zlib.compress(index), data


@unittest.skipUnless(shutil.which("dpkg-deb"), "dpkg-deb is not installed")
class PrepareDemoTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.packages = Path(folder.name) / "packages"
        cls.packages.mkdir()
        index, data = r_database(NOVELS)
        database = demo_texts.AUSTEN_DATABASE
        cls.build_package(
            demo_texts.AUSTEN_PACKAGE,
            {database.with_suffix(".rdx"): index, database.with_suffix(".rdb"): data},
        )
        bible = {demo_texts.BIBLE_DATA: bible_data(BIBLE, 256)}
        cls.build_package(demo_texts.BIBLE_PACKAGE, bible)

    @classmethod
    def build_package(cls, name: str, files: dict[Path, bytes]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            root.chmod(0o755)
            for path, content in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content)
            (root / "DEBIAN").mkdir()
            control = f"Package: {name}\nVersion: 1\nArchitecture: all\n"
            control += "Maintainer: A Test <test@example.org>\nDescription: made for a test\n"
            (root / "DEBIAN" / "control").write_text(control)
            subprocess.run(
                ["dpkg-deb", "-b", str(root), str(cls.packages / f"{name}_1_all.deb")],
                check=True,
                capture_output=True,
            )

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.output = self.folder / "documents" / "demo.h5"
        self.cache = self.folder / "cache"
        self.calls = self.folder / "calls"
        self.tokenizer = self.folder / "tokenizer.json"
        word_tokenizer(3000, adds_bos=True).save(str(self.tokenizer))
        self.enter(mock.patch.object(prepare_demo, "TARGET_TOKENS", 9))

    def enter(self, manager) -> None:
        manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)

    def record_books(self) -> None:
        """Makes the digests of the made-up books the recorded ones."""
        texts = {}
        for book in demo_texts.BOOKS:
            if book.package == demo_texts.AUSTEN_PACKAGE:
                texts[book.name] = "\n".join(NOVELS[book.variable]) + "\n"
        texts["genesis-john"] = words(1, 20) + "\n"
        texts["acts-revelation"] = words(1700, 199) + "\nw1999\n"
        books = tuple(
            dataclasses.replace(book, sha256=demo_texts.digest(texts[book.name]))
            for book in demo_texts.BOOKS
        )
        self.enter(mock.patch.object(demo_texts, "BOOKS", books))
        self.enter(mock.patch.object(prepare_demo, "BOOKS", books))

    def fake_apt(self, script: str) -> None:
        """Puts an `apt-get` in front that notes its arguments and then runs `script`."""
        folder = self.folder / "bin"
        folder.mkdir(exist_ok=True)
        program = folder / "apt-get"
        program.write_text(
            f"#!/bin/sh\necho \"$@\" >> '{self.calls}'\nfor package; do :; done\n{script}\n"
        )
        program.chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        self.enter(mock.patch.dict(os.environ, {"PATH": path}))

    def working_apt(self) -> None:
        self.fake_apt(f"cp '{self.packages}/'\"$package\"_*.deb .")

    def downloads(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0

    def prepare(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of a run."""
        words = ["--output", self.output, "--cache", self.cache, "--tokenizer", self.tokenizer]
        return run_main(prepare_demo, *words, *arguments)

    def assert_refused(self, result: tuple[int, str, str], *phrases: str) -> None:
        code, _, err = result
        self.assertEqual(code, 1, err)
        for phrase in phrases:
            self.assertIn(phrase, err)
        self.assertFalse(self.output.exists())
        left = [path.name for path in self.cache.iterdir()] if self.cache.exists() else []
        self.assertEqual(left, [], "the cache keeps nothing of a failed download")

    def test_a_campaign_has_few_long_documents_and_more_short_ones_of_the_same_books(self) -> None:
        self.record_books()
        self.working_apt()
        cuts = {"search": (Cut(2, 17), Cut(4, 9)), "heldout": (Cut(1, 17), Cut(2, 9))}
        self.enter(mock.patch.object(prepare_demo, "CAMPAIGN_CUTS", cuts))
        code, out, err = self.prepare("--campaign")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("12 documents of up to 16 tokens from 3 books", out)
        with h5py.File(self.output) as file:
            lengths = numpy.diff(file["offsets"][:]).tolist()
            splits = file["split"][:].tolist()
        self.assertEqual(lengths, [16, 16, 8, 8, 8, 8] + [16, 8, 8] * 2)
        self.assertEqual(splits, [2, 0] * 3 + [1] * 6)
        self.assertIn("is complete", self.prepare("--campaign")[1])

    def test_the_books_become_documents_of_three_splits(self) -> None:
        self.record_books()
        self.working_apt()
        code, out, err = self.prepare()
        self.assertEqual((code, err), (0, ""))
        self.assertIn("48 documents of 8 tokens from 3 books", out)
        with h5py.File(self.output) as file:
            titles = [title.decode() for title in file["titles"][:]]
            splits = file["split"][:].tolist()
            self.assertEqual(titles[0], "Persuasion 1/32")
            self.assertEqual(titles[32], "Northanger Abbey 1/8")
            self.assertEqual(titles[40:], [f"Acts-Revelation {n}/8" for n in range(1, 9)])
            self.assertEqual(splits, [2, 0] * 16 + [1] * 16)
            self.assertEqual(file["tokens"][40 * 8 : 41 * 8].tolist(), list(range(1700, 1708)))
            self.assertIn("unrestricted use", file.attrs["licences"].decode())

    def test_a_second_run_does_nothing_and_says_so(self) -> None:
        self.record_books()
        self.working_apt()
        self.prepare()
        before = self.output.stat()
        code, out, _ = self.prepare()
        self.assertEqual(code, 0)
        self.assertIn("is complete", out)
        self.assertEqual(self.output.stat().st_ino, before.st_ino)
        self.assertEqual(self.downloads(), 2)

    def test_force_rebuilds_the_same_file_from_the_cache(self) -> None:
        self.record_books()
        self.working_apt()
        self.prepare()
        before, inode = self.output.read_bytes(), self.output.stat().st_ino
        code, _, _ = self.prepare("--force")
        self.assertEqual(code, 0)
        self.assertNotEqual(self.output.stat().st_ino, inode)
        self.assertEqual(self.output.read_bytes(), before)
        self.assertEqual(self.downloads(), 2)

    def test_a_damaged_or_outdated_file_is_rebuilt(self) -> None:
        self.record_books()
        self.working_apt()
        self.prepare()
        whole = self.output.read_bytes()

        def cut() -> None:
            self.output.write_bytes(whole[: len(whole) // 2])

        def change_a_token() -> None:
            with h5py.File(self.output, "r+") as file:
                file["tokens"][5] = 77

        def change_a_split() -> None:
            with h5py.File(self.output, "r+") as file:
                file["split"][0] = 1

        def drop_an_attribute() -> None:
            with h5py.File(self.output, "r+") as file:
                del file.attrs["text_sha256"]

        for damage in (cut, change_a_token, change_a_split, drop_an_attribute):
            with self.subTest(damage.__name__):
                damage()
                code, out, _ = self.prepare()
                self.assertEqual(code, 0)
                self.assertIn("48 documents", out)
                self.assertEqual(self.output.read_bytes(), whole)
        word_tokenizer(3001, adds_bos=True).save(str(self.tokenizer))
        self.assertIn("48 documents", self.prepare()[1])

    def test_a_damaged_cache_is_fetched_again(self) -> None:
        self.record_books()
        self.working_apt()
        self.prepare()
        (self.cache / "texts" / "persuasion.txt").write_text("something else")
        self.assertEqual(self.prepare("--force")[0], 0)
        self.assertEqual(self.downloads(), 4)

    def test_packages_can_be_given_as_files(self) -> None:
        self.record_books()
        self.fake_apt("exit 100")
        code, _, err = self.prepare("--packages", str(self.packages))
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(self.downloads(), 0)

    def test_a_missing_package_file_is_refused_by_name(self) -> None:
        empty = self.folder / "empty"
        empty.mkdir()
        result = self.prepare("--packages", str(empty))
        self.assert_refused(result, "r-cran-janeaustenr_*.deb", str(empty))

    def test_an_unreachable_mirror_is_refused_with_what_apt_said(self) -> None:
        self.fake_apt(
            "echo 'E: Failed to fetch http://deb.example.org/x.deb  Could not resolve "
            "deb.example.org' >&2; exit 100"
        )
        self.assert_refused(
            self.prepare(),
            "`apt-get download r-cran-janeaustenr` ended with status 100",
            "Could not resolve deb.example.org",
            "mirror cannot be reached",
            "--packages FOLDER",
        )

    def test_missing_package_lists_are_refused_with_the_remedy(self) -> None:
        for said in (
            "E: Unable to locate package r-cran-janeaustenr",
            "E: Failed to fetch http://x/y.deb  404  Not Found [IP: 1.2.3.4 80]",
        ):
            self.fake_apt(f"echo '{said}' >&2; exit 100")
            self.assert_refused(self.prepare(), said, "run `apt-get update`")

    def test_apt_that_delivers_nothing_is_refused(self) -> None:
        self.fake_apt("exit 0")
        self.assert_refused(self.prepare(), "status 0", "(nothing)")

    def test_a_system_without_apt_is_refused_with_the_alternative(self) -> None:
        self.enter(mock.patch.dict(os.environ, {"PATH": str(self.folder)}))
        self.assert_refused(self.prepare(), "no `apt-get`", "--packages FOLDER")

    def test_a_damaged_download_is_refused(self) -> None:
        self.fake_apt('echo garbage > "$package"_1_all.deb')
        self.assert_refused(self.prepare(), "cannot unpack r-cran-janeaustenr_1_all.deb", "damaged")

    def test_other_texts_than_the_recorded_ones_are_refused(self) -> None:
        self.working_apt()  # made-up books against the digests of the real ones
        self.assert_refused(
            self.prepare(), "the text of Emma is not the recorded one", "apt-cache policy"
        )

    def test_a_package_with_other_files_is_refused(self) -> None:
        self.fake_apt(
            f"cp '{self.packages}/{demo_texts.BIBLE_PACKAGE}_1_all.deb' \"$package\"_1.deb"
        )
        self.assert_refused(self.prepare(), "cannot decode the books", "Rdata.rdx", "No such file")

    def test_a_missing_tokenizer_is_refused_before_any_download(self) -> None:
        self.working_apt()
        self.tokenizer.unlink()
        self.assert_refused(self.prepare(), "there is no tokenizer", "--tokenizer")
        self.assertEqual(self.downloads(), 0)

    def test_a_cache_that_cannot_be_written_is_refused(self) -> None:
        self.working_apt()
        self.cache = self.folder / "file" / "cache"
        (self.folder / "file").write_text("not a folder")
        code, _, err = self.prepare()
        self.assertEqual(code, 1)
        self.assertIn("cannot write to the cache", err)


if __name__ == "__main__":
    unittest.main()
