# SPDX-License-Identifier: Apache-2.0
"""The demo's books, decoded from the data files of two Debian packages.

Usage: not a program; scripts/prepare_demo.py and scripts/train_demo_model.py read it.

  r-cran-janeaustenr  Rdata.rdx + Rdata.rdb: R's lazy-load database (scripts/r_data.py); a novel
                      is a character vector, one element per line.
  bible-kjv-text      bible.data: a header, a table of file offsets, and one LZW stream (the code
                      of Unix `compress`) for each 64 KiB window of the text.

Both are read with the standard library: no R, and no program of the packages is run.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from pathlib import Path

import r_data

AUSTEN_PACKAGE = "r-cran-janeaustenr"
BIBLE_PACKAGE = "bible-kjv-text"
AUSTEN_DATABASE = Path("usr/lib/R/site-library/janeaustenr/data/Rdata")
BIBLE_DATA = Path("usr/lib/bible.data")

AUSTEN_LICENCE = (
    "novel first published 1811-1818, no copyright; package janeaustenr: MIT, Julia Silge"
)
BIBLE_LICENCE = (
    "King James Version of 1611, copyright expired; Bible Retrieval System, Chip Chapin: "
    "'This file is provided for unrestricted use provided that this legend is included on all "
    "tape media and as a part of the software program in whole or part. Users may copy, modify "
    "or distribute this file at will.'"
)


class TextError(Exception):
    """A data file of a package that cannot be read as what it should be; the text says why."""


@dataclass(frozen=True)
class Book:
    """One text of the demo: where it comes from, what it is for, and what it must hash to."""

    name: str  # also the file name in the cache, with .txt
    title: str
    role: str  # "train", "search" or "heldout"
    package: str
    variable: str  # the R variable, or "first verse/verse after the last" of a part of the Bible
    sha256: str  # of the UTF-8 text

    @property
    def licence(self) -> str:
        return AUSTEN_LICENCE if self.package == AUSTEN_PACKAGE else BIBLE_LICENCE


BOOKS = (
    Book(
        "emma",
        "Emma",
        "train",
        AUSTEN_PACKAGE,
        "emma",
        "7c67b5985c6d0de1efaeb5d342d52cb82c38083c40e2295129e30e87ee690ebe",
    ),
    Book(
        "mansfield-park",
        "Mansfield Park",
        "train",
        AUSTEN_PACKAGE,
        "mansfieldpark",
        "98bc90519cdf4ef663ad7de2734bb529435ef24f7abbde6bb1a50898871dafe9",
    ),
    Book(
        "pride-and-prejudice",
        "Pride and Prejudice",
        "train",
        AUSTEN_PACKAGE,
        "prideprejudice",
        "dfc684d4f857fa938268f9ab9c5567b64bd0691251eca959644adeabe6287a4d",
    ),
    Book(
        "sense-and-sensibility",
        "Sense and Sensibility",
        "train",
        AUSTEN_PACKAGE,
        "sensesensibility",
        "105e1651fe93bed7130078578efd31e0c557d68667ba672ddc876f735b30fe09",
    ),
    Book(
        "genesis-john",
        "Genesis-John",
        "train",
        BIBLE_PACKAGE,
        "Ge1:1/Acts1:1",
        "df71b6f2e60c1626786ee6c38fef335a04cb4a60854b770ac7bbf01dfa4e7186",
    ),
    Book(
        "persuasion",
        "Persuasion",
        "search",
        AUSTEN_PACKAGE,
        "persuasion",
        "8061549557aebd2fd6e353d18d9197cb707029112bd52d4d8b174583a925848a",
    ),
    Book(
        "northanger-abbey",
        "Northanger Abbey",
        "heldout",
        AUSTEN_PACKAGE,
        "northangerabbey",
        "51f91bbe0517db8e65cff009b097ce0a1836124c4e0532ac19e6c0cad982abed",
    ),
    Book(
        "acts-revelation",
        "Acts-Revelation",
        "heldout",
        BIBLE_PACKAGE,
        "Acts1:1/",
        "ed3c28a82c2352f81b214d2af9b1c310b4e6eacecbb08a46871be13cf96060a0",
    ),
)


# --- The Bible's windows ------------------------------------------------------------------------

_WINDOW_TABLE = 0x54  # u32 big-endian: bytes in a window, windows, then the offset of each
_CLEAR = 256


def decompress_lzw(data: bytes) -> bytes:
    """Decodes the codes of Unix `compress -b 16`, given without its three-byte header."""
    table = [bytes((byte,)) for byte in range(256)] + [b""]
    output = bytearray()
    width, bit, group_start = 9, 0, 0
    previous: bytes | None = None

    def next_group(bit: int) -> int:
        group = 8 * width  # codes are written in groups of eight; a change of width skips the rest
        return group_start + -(-(bit - group_start) // group) * group

    while bit + width <= 8 * len(data):
        byte = bit >> 3
        code = (int.from_bytes(data[byte : byte + 4], "little") >> (bit & 7)) & ((1 << width) - 1)
        bit += width
        if code == _CLEAR:
            bit = group_start = next_group(bit)
            del table[_CLEAR + 1 :]
            width, previous = 9, None
            continue
        if code < len(table):
            entry = table[code]
        elif code == len(table) and previous is not None:
            entry = previous + previous[:1]
        else:
            raise TextError(f"LZW stream: code {code} with {len(table)} known, at bit {bit}")
        output += entry
        if previous is not None and len(table) < 1 << 16:
            table.append(previous + entry[:1])
            if len(table) >= 1 << width and width < 16:
                bit = group_start = next_group(bit)
                width += 1
        previous = entry
    return bytes(output)


def read_bible(path: Path) -> list[tuple[str, str]]:
    """The verses of a bible.data file in order, as ("Ge1:1", "In the beginning ...")."""
    data = path.read_bytes()
    if not data.startswith(b"EC02Compressed Data File"):
        raise TextError(f"{path}: it does not begin with 'EC02Compressed Data File'")
    if len(data) < _WINDOW_TABLE + 8:
        raise TextError(f"{path}: {len(data)} bytes hold no table of windows")
    window_bytes, windows = struct.unpack_from(">II", data, _WINDOW_TABLE)
    table_end = _WINDOW_TABLE + 8 + 4 * windows
    if not 1 <= windows <= 4096 or table_end > len(data) or not 1 <= window_bytes <= 1 << 20:
        raise TextError(f"{path}: {windows} windows of {window_bytes} bytes are impossible")
    offsets = struct.unpack_from(f">{windows}I", data, _WINDOW_TABLE + 8)
    ends = offsets[1:] + (len(data),)
    text = bytearray()
    for number, (start, end) in enumerate(zip(offsets, ends, strict=True), 1):
        if not table_end <= start < end <= len(data):
            raise TextError(
                f"{path}: a window from byte {start} to {end} of {len(data)} is impossible"
            )
        window = decompress_lzw(data[start:end])
        if len(window) != window_bytes and number < windows or len(window) > window_bytes:
            raise TextError(
                f"{path}: window {number} of {windows} has {len(window)} bytes "
                f"instead of {window_bytes}"
            )
        text += window
    lines = text.decode("ascii", "replace").splitlines()[1:]  # the first line names the edition
    return [(reference, verse) for reference, _, verse in (line.partition(" ") for line in lines)]


# --- The books ----------------------------------------------------------------------------------


def digest(text: str) -> str:
    """SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def extract_books(austen_root: Path, bible_root: Path) -> dict[str, str]:
    """The texts by Book.name, from the folders that the two packages were extracted to.

    A novel keeps the lines of its package; the Bible has one verse a line, without references.
    """
    try:
        novels = r_data.read_r_database(austen_root / AUSTEN_DATABASE)
        verses = read_bible(bible_root / BIBLE_DATA)
    except r_data.RDataError as error:
        raise TextError(str(error)) from error
    except OSError as error:
        raise TextError(f"cannot read {error.filename}: {error.strerror}") from error
    places = {reference: index for index, (reference, _) in enumerate(verses)}
    texts: dict[str, str] = {}
    for book in BOOKS:
        if book.package == AUSTEN_PACKAGE:
            if book.variable not in novels:
                raise TextError(
                    f"{austen_root / AUSTEN_DATABASE}: no text '{book.variable}'; "
                    f"it has {', '.join(sorted(novels)) or 'none'}"
                )
            texts[book.name] = "\n".join(novels[book.variable]) + "\n"
        else:
            first, _, end = book.variable.partition("/")
            if first not in places or (end and end not in places):
                raise TextError(f"{bible_root / BIBLE_DATA}: no verse '{first}' or '{end}'")
            part = verses[places[first] : places[end] if end else len(verses)]
            texts[book.name] = "\n".join(verse for _, verse in part) + "\n"
    return texts
