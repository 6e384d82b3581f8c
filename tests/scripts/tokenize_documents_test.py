# SPDX-License-Identifier: Apache-2.0
"""Usage: python -m unittest discover -s tests/scripts -p "*_test.py"  (in the repository root)"""

import errno
import hashlib
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

import tokenize_documents  # noqa: E402
from tokenize_documents import Cut  # noqa: E402


def word_tokenizer(words: int, adds_bos: bool) -> Tokenizer:
    """One token a word: "w17" has id 17; id 0 is "<s>", which it may put in front of a text."""
    vocabulary = {"<s>": 0, **{f"w{n}": n for n in range(1, words)}}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<s>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens(["<s>"])
    if adds_bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 0)]
        )
    return tokenizer


def words(first: int, count: int) -> str:
    return " ".join(f"w{n}" for n in range(first, first + count))


class TokenizeDocumentsTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.tokenizer = self.folder / "tokenizer.json"
        word_tokenizer(2000, adds_bos=True).save(str(self.tokenizer))
        self.output = self.folder / "deep" / "documents.h5"

    def text(self, name: str, first: int, count: int) -> str:
        path = self.folder / name
        path.write_text(words(first, count))
        return str(path)

    def run_script(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, SCRIPTS / "tokenize_documents.py", "--tokenizer", self.tokenizer]
            + ["--output", self.output, *arguments],
            capture_output=True,
            text=True,
        )

    def assert_refused(self, done: subprocess.CompletedProcess, *phrases: str) -> None:
        self.assertEqual(done.returncode, 1, done.stderr)
        for phrase in phrases:
            self.assertIn(phrase, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertFalse(self.output.exists())
        if self.output.parent.exists():
            self.assertEqual(list(self.output.parent.iterdir()), [])

    def test_the_file_has_the_documented_format(self) -> None:
        search, other = self.text("näher.txt", 1, 40), self.text("other.txt", 500, 12)
        done = self.run_script(
            *("--target-tokens", "11", "--search", search, "--heldout", other),
            *("--source", "made up", "--licence", "CC0"),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.output) as file:
            self.assertEqual(set(file), {"tokens", "offsets", "titles", "split"})
            self.assertEqual(file["tokens"].dtype, np.dtype("<i4"))
            self.assertEqual(file["offsets"].dtype, np.dtype("<i8"))
            self.assertEqual(file["split"].dtype, np.dtype("u1"))
            title_type = h5py.check_string_dtype(file["titles"].dtype)
            self.assertEqual(
                (title_type.encoding, title_type.length), ("utf-8", len("näher 1/1") + 1)
            )
            self.assertEqual(file["offsets"][:].tolist(), [0, 10, 20])
            self.assertEqual(file["tokens"][:].tolist(), [*range(1, 11), *range(500, 510)])
            self.assertEqual(file["split"][:].tolist(), [0, 1])
            titles = [title.decode("utf-8") for title in file["titles"][:]]
            self.assertEqual(titles, ["näher 1/1", "other 1/1"])
            attributes = dict(file.attrs)
        self.assertEqual(attributes["format_version"], 1)
        self.assertEqual(attributes["bos_token_id"], 0)
        digest = hashlib.sha256(self.tokenizer.read_bytes()).hexdigest()
        self.assertEqual(attributes["tokenizer_sha256"].decode(), digest)
        lines = "".join(
            f"{hashlib.sha256(Path(path).read_bytes()).hexdigest()} {Path(path).stem}\n"
            for path in (search, other)
        )
        text_digest = hashlib.sha256(lines.encode()).hexdigest()
        self.assertEqual(attributes["text_sha256"].decode(), text_digest)
        self.assertEqual(attributes["sources"].decode(), "näher: made up\nother: made up")
        self.assertEqual(attributes["licences"].decode(), "näher: CC0\nother: CC0")

    def test_tools_of_hdf5_1_8_can_open_the_file(self) -> None:
        self.run_script("--target-tokens", "11", "--search", self.text("a.txt", 1, 40))
        data = self.output.read_bytes()
        self.assertEqual(data[:8], b"\x89HDF\r\n\x1a\n")
        self.assertLessEqual(data[8], 2, "superblock version")

    def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(self) -> None:
        self.run_script("--target-tokens", "11", "--search", self.text("a.txt", 1, 40))
        before = self.output.read_bytes()
        text = tokenize_documents.Text("b", words(50, 40), "search", (Cut(1, 11),))
        full = OSError(errno.ENOSPC, "No space left on device")
        with (
            mock.patch.object(tokenize_documents.os, "fsync", side_effect=full),
            self.assertRaisesRegex(tokenize_documents.DocumentsError, "No space left on device"),
        ):
            tokenize_documents.write_documents(self.output, self.tokenizer, [text])
        self.assertEqual(self.output.read_bytes(), before)
        self.assertEqual(list(self.output.parent.iterdir()), [self.output])

    def test_equal_input_gives_equal_bytes(self) -> None:
        text = self.text("a.txt", 1, 40)
        contents = []
        for _ in range(2):
            self.run_script("--target-tokens", "11", "--search", text, "--force")
            contents.append(self.output.read_bytes())
        self.assertEqual(contents[0], contents[1])

    def test_alternating_segments_go_to_search_and_validation(self) -> None:
        text = self.text("novel.txt", 1, 100)
        done = self.run_script("--target-tokens", "11", "--alternate", text, "--segments", "5")
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.output) as file:
            titles = [title.decode() for title in file["titles"][:]]
            self.assertEqual(titles, [f"novel {n}/5" for n in range(1, 6)])
            self.assertEqual(file["split"][:].tolist(), [2, 0, 2, 0, 2])

    def test_segments_are_evenly_spaced_and_never_overlap(self) -> None:
        for total in range(7, 60):
            for length in (1, 3, 7):
                for segments in range(1, total // length + 1):
                    starts = tokenize_documents.segment_starts(total, length, segments, "x")
                    with self.subTest(total=total, length=length, segments=segments):
                        self.assertEqual(len(starts), segments)
                        self.assertEqual(starts[0], 0)
                        gaps = np.diff(starts)
                        self.assertTrue((gaps >= length).all())
                        self.assertLessEqual(np.ptp(gaps) if segments > 1 else 0, 1)
                        self.assertLessEqual(starts[-1] + length, total)
                        if segments > 1:
                            self.assertEqual(starts[-1] + length, total)

    def test_a_text_that_is_too_short_is_refused_with_what_would_fit(self) -> None:
        text = self.text("short.txt", 1, 35)
        done = self.run_script("--target-tokens", "11", "--search", text, "--segments", "4")
        self.assert_refused(done, "'short'", "4 segments of 10 tokens", "35 tokens", "3 fit")

    def test_an_existing_file_survives_a_refusal(self) -> None:
        text = self.text("a.txt", 1, 40)
        self.run_script("--target-tokens", "11", "--search", text)
        before = self.output.read_bytes()
        for words, status, told in (
            (("--segments", "2"), 2, "is there already; --force replaces it"),
            (("--segments", "9", "--force"), 1, "4 fit"),
        ):
            done = self.run_script("--target-tokens", "11", "--search", text, *words)
            self.assertEqual(done.returncode, status)
            self.assertIn(told, done.stderr)
            self.assertEqual(self.output.read_bytes(), before)
        words = ("--segments", "2", "--force")
        done = self.run_script("--target-tokens", "11", "--search", text, *words)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(self.output.read_bytes(), before)
        self.assertEqual(list(self.output.parent.iterdir()), [self.output])

    def test_without_bos_a_document_is_one_token_longer(self) -> None:
        text = self.text("a.txt", 1, 40)
        for bos, adds_bos in (("none", True), ("auto", False)):
            with self.subTest(bos=bos):
                word_tokenizer(2000, adds_bos).save(str(self.tokenizer))
                self.run_script("--target-tokens", "11", "--search", text, "--bos", bos)
                with h5py.File(self.output) as file:
                    self.assertEqual(file.attrs["bos_token_id"], -1)
                    self.assertEqual(file["tokens"][:].tolist(), list(range(1, 12)))

    def test_what_a_tokenizer_does_to_batches_is_not_done_to_texts(self) -> None:
        tokenizer = word_tokenizer(2000, adds_bos=True)
        tokenizer.enable_truncation(8)
        tokenizer.enable_padding(length=64)
        tokenizer.save(str(self.tokenizer))
        text = self.text("a.txt", 1, 40)
        done = self.run_script("--target-tokens", "31", "--search", text)
        self.assertEqual(done.returncode, 0, done.stderr)
        with h5py.File(self.output) as file:
            self.assertEqual(file["tokens"][:].tolist(), list(range(1, 31)))

    def test_a_named_bos_is_looked_up(self) -> None:
        word_tokenizer(2000, adds_bos=False).save(str(self.tokenizer))
        text = self.text("a.txt", 1, 40)
        self.run_script("--target-tokens", "11", "--search", text, "--bos", "<s>")
        with h5py.File(self.output) as file:
            self.assertEqual(file.attrs["bos_token_id"], 0)
        self.output.unlink()
        done = self.run_script("--target-tokens", "11", "--search", text, "--bos", "<other>")
        self.assert_refused(done, "<other>", "no such token")

    def test_a_byte_order_mark_is_no_text(self) -> None:
        path = Path(self.text("a.txt", 1, 40))
        contents = []
        for mark in (b"", b"\xef\xbb\xbf"):
            path.write_bytes(mark + words(1, 40).encode())
            done = self.run_script("--target-tokens", "11", "--search", str(path), "--force")
            self.assertEqual(done.returncode, 0, done.stderr)
            contents.append(self.output.read_bytes())
        self.assertEqual(contents[0], contents[1])

    def test_a_text_given_twice_is_refused(self) -> None:
        first, second = self.text("a.txt", 1, 40), self.text("b.txt", 1, 40)
        done = self.run_script("--target-tokens", "11", "--search", first, "--heldout", second)
        self.assert_refused(done, "'b' (heldout)", "same text as 'a' (search)")

    def test_missing_or_foreign_input_is_refused_by_name(self) -> None:
        text = self.text("a.txt", 1, 40)
        self.assert_refused(
            self.run_script("--target-tokens", "11", "--search", str(self.folder / "gone.txt")),
            *("gone.txt", "No such file"),
        )
        (self.folder / "binary.txt").write_bytes(b"\xff\xfe\x00")
        self.assert_refused(
            self.run_script("--target-tokens", "11", "--search", str(self.folder / "binary.txt")),
            *("binary.txt", "not UTF-8"),
        )
        self.tokenizer.write_text("{}")
        done = self.run_script("--target-tokens", "11", "--search", text)
        self.assert_refused(done, "tokenizer.json", "no tokenizer.json")
        self.tokenizer.unlink()
        done = self.run_script("--target-tokens", "11", "--search", text)
        self.assert_refused(done, "cannot read the tokenizer", "No such file")

    def test_no_text_at_all_is_a_usage_error(self) -> None:
        self.assertEqual(self.run_script("--target-tokens", "11").returncode, 2)
        text = self.text("a.txt", 1, 40)
        self.assertEqual(self.run_script("--target-tokens", "0", "--search", text).returncode, 2)

    def documents(self) -> list[tuple[str, int, int]]:
        """Title, tokens and split of each document of the output."""
        with h5py.File(self.output) as file:
            lengths = np.diff(file["offsets"][:]).tolist()
            titles = [title.decode() for title in file["titles"][:]]
            return list(zip(titles, lengths, file["split"][:].tolist(), strict=True))

    def test_cuts_say_what_the_texts_behind_them_give(self) -> None:
        long, short = self.text("long.txt", 1, 1000), self.text("short.txt", 1100, 60)
        other = self.text("other.txt", 1200, 150)
        done = self.run_script(
            *("--alternate", "2x101", "4x21", "6x11", long, "--search", "2x11", short),
            *("--heldout", "1x101", "2x21", other),
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(
            done.stdout,
            f"{self.output}: 17 documents of 3 texts\n"
            "  11 tokens: 5 search, 3 validation\n"
            "  21 tokens: 2 search, 2 validation, 2 heldout\n"
            "  101 tokens: 1 search, 1 validation, 1 heldout\n",
        )
        lengths = [100] * 2 + [20] * 4 + [10] * 6
        self.assertEqual(
            self.documents(),
            [("short 1/2", 10, 0), ("short 2/2", 10, 0)]
            + [("other 1/3", 100, 1), ("other 2/3", 20, 1), ("other 3/3", 20, 1)]
            + [(f"long {n}/12", lengths[n - 1], 2 if n % 2 else 0) for n in range(1, 13)],
        )
        with h5py.File(self.output) as file:
            tokens = file["tokens"][:].tolist()
        self.assertEqual(len(set(tokens)), len(tokens), "no token of a text twice")

    def test_cuts_go_with_texts_of_the_usual_target_and_options_may_be_repeated(self) -> None:
        names = ("a.txt", "b.txt", "c.txt", "d.txt")
        a, b, c, d = (self.text(name, 1 + 100 * n, 100) for n, name in enumerate(names))
        done = self.run_script(
            *("--target-tokens", "11", "--segments", "2", "--search", a),
            *("--search", "1x51", b, c, "--search", "1x11", d),
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            self.documents(),
            [("a 1/2", 10, 0), ("a 2/2", 10, 0)]
            + [("b 1/1", 50, 0), ("c 1/1", 50, 0), ("d 1/1", 10, 0)],
        )

    def test_a_cut_alone_gives_the_file_of_target_and_segments(self) -> None:
        text = self.text("a.txt", 1, 100)
        done = self.run_script("--search", text, "--target-tokens", "11", "--segments", "3")
        usual, said = self.output.read_bytes(), done.stdout
        done = self.run_script("--search", "3x11", text, "--force")
        self.assertEqual(self.output.read_bytes(), usual)
        self.assertEqual(done.stdout, said)

    def test_a_file_with_the_name_of_a_cut_is_given_with_its_folder(self) -> None:
        self.text("3x11", 1, 100)
        done = self.run_script("--target-tokens", "11", "--search", f"{self.folder}/3x11")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.documents(), [("3x11 1/1", 10, 0)])

    def test_a_text_too_short_for_all_its_cuts_is_refused_with_what_they_need(self) -> None:
        text = self.text("novel.txt", 1, 139)
        cuts = ("1x101", "4x11")
        self.assert_refused(
            self.run_script("--search", *cuts, text),
            "cannot cut 'novel' into 1 segment of 100 tokens and 4 segments of 10 tokens: it has "
            "139 tokens, and 140 are needed",
        )
        done = self.run_script("--search", *cuts, self.text("novel.txt", 1, 140))
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_a_text_for_two_targets_is_one_text_with_two_cuts(self) -> None:
        text = self.text("a.txt", 1, 100)
        done = self.run_script("--search", "1x11", text, "--search", "1x21", text)
        self.assert_refused(done, "the same text", "for several targets with a cut for each")

    def test_cuts_that_mean_nothing_are_usage_errors(self) -> None:
        text = self.text("a.txt", 1, 100)
        for arguments, told in (
            (("--search", "2x11"), "--search 2x11: no text behind it"),
            (("--search", text, "2x11"), f"--search 2x11: it is behind the text {text}"),
            (("--search", "2x11", "1x11", text), "--search 2x11 1x11: one target twice"),
            (("--search", "0x11", text), "0x11: segments and tokens are 1 or more"),
            (("--search", "2x0", text), "2x0: segments and tokens are 1 or more"),
            (("--alternate", "1x11", text), "--alternate 1x11: one document is not for search"),
            (("--search", text), f"--search {text}: no target: give --target-tokens, or a cut"),
            (("--search", "2x11", text, "--target-tokens", "11"), "--target-tokens 11: no text"),
            (("--search", "2x11", text, "--segments", "2"), "--segments 2: no text that it is"),
        ):
            with self.subTest(arguments):
                done = self.run_script(*arguments)
                self.assertEqual(done.returncode, 2, done.stderr)
                self.assertIn(told, done.stderr)
                self.assertFalse(self.output.exists())
        self.assert_refused(self.run_script("--search", "2x11", "1x1", text), "1 tokens is too")


if __name__ == "__main__":
    unittest.main()
