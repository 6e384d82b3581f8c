# SPDX-License-Identifier: Apache-2.0
"""Usage: python -m unittest discover -s tests/scripts -p "*_test.py"  (in the repository root)"""

import random
import struct
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import demo_texts  # noqa: E402


def compress_lzw(data: bytes, clear_at_end: bool = False) -> bytes:
    """The codes of Unix `compress -b 16`: 9 to 16 bits, in groups of eight codes of one width."""
    table = {bytes((byte,)): byte for byte in range(256)}
    codes: list[tuple[int, int]] = []  # code, width
    next_code, width, word = 257, 9, b""
    for byte in data:
        longer = word + bytes((byte,))
        if longer in table:
            word = longer
            continue
        codes.append((table[word], width))
        if next_code < 1 << 16:
            # The reader learns a code one step later than the writer, and widens when it does.
            if next_code > 1 << width and width < 16:
                width += 1
                codes[-1] = (table[word], width)
            table[longer] = next_code
            next_code += 1
        word = bytes((byte,))
    if word:
        if next_code > 1 << width and width < 16:
            width += 1
        codes.append((table[word], width))
    if clear_at_end:
        codes.append((256, width))
    return pack(codes)


def pack(codes: list[tuple[int, int]]) -> bytes:
    output, group, group_width = bytearray(), [], 0

    def flush(whole: bool) -> None:
        bits = sum(code << group_width * i for i, code in enumerate(group))
        size = group_width if whole else -(-len(group) * group_width // 8)
        output.extend(bits.to_bytes(size, "little"))

    for code, width in codes:
        if group and (width != group_width or len(group) == 8):
            flush(whole=True)
            group = []
        group_width = width
        group.append(code)
    if group:
        flush(whole=False)
    return bytes(output)


def bible_data(text: bytes, window_bytes: int) -> bytes:
    windows = [
        compress_lzw(text[start : start + window_bytes], clear_at_end=True)
        for start in range(0, len(text), window_bytes)
    ]
    place = 0x54 + 8 + 4 * len(windows)
    head = b"EC02Compressed Data File".ljust(0x54, b"\0")
    head += struct.pack(">II", window_bytes, len(windows))
    for window in windows:
        head += struct.pack(">I", place)
        place += len(window)
    return head + b"".join(windows)


BIBLE = b"""Holy Bible, a made-up edition.
Ge1:1 In the beginning was the test.
Ge1:2 And the test was without form, and void.
Jn21:25 And there are also many other things.
Acts1:1 The former treatise have I made.
Rev22:21 Amen.
"""


class LzwTest(unittest.TestCase):
    def test_codes_of_every_width_are_decoded(self) -> None:
        for seed, (size, letters) in enumerate(
            [(0, 2), (1, 2), (700, 3), (5000, 2), (300_000, 64)]
        ):
            data = bytes(random.Random(seed).choices(range(letters), k=size))
            with self.subTest(size=size, letters=letters):
                self.assertEqual(demo_texts.decompress_lzw(compress_lzw(data)), data)

    def test_a_word_that_uses_itself_is_decoded(self) -> None:
        self.assertEqual(demo_texts.decompress_lzw(pack([(97, 9), (257, 9), (258, 9)])), b"a" * 6)

    def test_a_clear_code_starts_anew(self) -> None:
        codes = [(97, 9), (98, 9), (257, 9), (256, 9)]
        stream = pack(codes)
        stream = stream.ljust(9, b"\0") + pack([(99, 9), (257, 9)])
        self.assertEqual(demo_texts.decompress_lzw(stream), b"ababccc")

    def test_an_impossible_code_is_an_error(self) -> None:
        for codes in ([(300, 9)], [(97, 9), (400, 9)]):
            with self.assertRaisesRegex(demo_texts.TextError, "LZW stream: code"):
                demo_texts.decompress_lzw(pack(codes))


class BibleTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.path = Path(folder.name) / "bible.data"

    def test_the_verses_of_several_windows_come_in_order(self) -> None:
        self.path.write_bytes(bible_data(BIBLE, 50))
        verses = demo_texts.read_bible(self.path)
        self.assertEqual(len(verses), 5)
        self.assertEqual(verses[0], ("Ge1:1", "In the beginning was the test."))
        self.assertEqual(verses[-1], ("Rev22:21", "Amen."))

    def test_damaged_files_are_errors_that_name_the_file(self) -> None:
        whole = bible_data(BIBLE, 50)
        cases = {
            "foreign": b"no Bible at all",
            "no table": whole[:40],
            "cut in the table": whole[:100],
            "cut in the middle": whole[: len(whole) // 2],
            "offset beyond the end": whole[:0x5C] + struct.pack(">I", 10**6) + whole[0x60:],
        }
        for name, data in cases.items():
            self.path.write_bytes(data)
            with self.subTest(name), self.assertRaisesRegex(demo_texts.TextError, "bible.data"):
                demo_texts.read_bible(self.path)


class BooksTest(unittest.TestCase):
    def test_what_is_evaluated_is_never_trained_on(self) -> None:
        roles = {book.name: book.role for book in demo_texts.BOOKS}
        self.assertEqual(roles["persuasion"], "search")
        self.assertEqual(roles["northanger-abbey"], "heldout")
        self.assertEqual(roles["acts-revelation"], "heldout")
        self.assertEqual(sum(role == "train" for role in roles.values()), 5)
        self.assertEqual(len({book.sha256 for book in demo_texts.BOOKS}), len(demo_texts.BOOKS))


if __name__ == "__main__":
    unittest.main()
