# SPDX-License-Identifier: Apache-2.0
"""Reads the character vectors of R data sets with the standard library; no R is needed.

Usage: not a program; scripts/demo_texts.py reads it.

An R package keeps its data in a lazy-load database. The index (.rdx) is a compressed serialised
R value that gives offset and length of each variable in the .rdb, where a record is [u32
big-endian length][zlib stream] of another serialised value. Serialised values are in XDR form:
a 14-byte header, then items, each with a 32-bit word of type and flags.
"""

from __future__ import annotations

import bz2
import lzma
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path


class RDataError(Exception):
    """Data that cannot be read as what it should be; the text says why."""


_NIL, _GLOBAL_ENV, _REFERENCE = 254, 253, 255
_SYMBOL, _PAIRLIST, _CHARACTERS = 1, 2, 9
_LOGICAL, _INTEGER, _REAL, _STRINGS, _LIST = 10, 13, 14, 16, 19


@dataclass(frozen=True)
class RValue:
    """A decoded R vector: its elements (str, int, float, None or RValue) and its attributes."""

    elements: list
    attributes: dict[str, object]

    def named(self) -> dict[str, object]:
        """The elements of a named list by name."""
        names = self.attributes.get("names")
        if not isinstance(names, RValue) or len(names.elements) != len(self.elements):
            raise RDataError("R value: a named list was expected, but this one has no names")
        return dict(zip(names.elements, self.elements, strict=True))


class _XdrReader:
    """Decodes the types that data sets consist of: vectors, strings, lists and their attributes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._references: list[object] = []

    def _take(self, size: int) -> bytes:
        piece = self._data[self._at : self._at + size]
        if size < 0 or len(piece) != size:
            raise RDataError(
                f"R value: {size} bytes wanted at byte {self._at} of {len(self._data)}: "
                "it is cut short"
            )
        self._at += size
        return piece

    def _integer(self) -> int:
        return struct.unpack(">i", self._take(4))[0]

    def _length(self) -> int:
        length = self._integer()
        if length < 0 or length > len(self._data):
            raise RDataError(f"R value: a length of {length} at byte {self._at - 4} is impossible")
        return length

    def document(self) -> object:
        if self._take(2) != b"X\n":
            raise RDataError("R value: it does not begin with 'X\\n', the mark of the XDR format")
        version = self._integer()
        self._take(8)  # the versions of R that wrote it and that can read it
        if version == 3:
            self._take(self._length())  # name of the native encoding
        elif version != 2:
            raise RDataError(f"R value: serialisation format {version}; 2 and 3 are known")
        return self._item()

    def _item(self) -> object:
        flags = self._integer()
        kind = flags & 0xFF
        if kind in (_NIL, _GLOBAL_ENV):
            return None
        if kind == _REFERENCE:
            index = flags >> 8 or self._integer()
            if not 1 <= index <= len(self._references):
                raise RDataError(f"R value: reference {index} of {len(self._references)}")
            return self._references[index - 1]
        if kind == _SYMBOL:
            name = self._item()
            self._references.append(name)
            return name
        if kind == _PAIRLIST:
            return self._pairlist(flags)
        if kind == _CHARACTERS:
            size = self._integer()
            return None if size == -1 else self._take(size).decode(self._encoding(flags))
        if kind in (_LOGICAL, _INTEGER):
            length = self._length()
            return self._vector(list(struct.unpack(f">{length}i", self._take(4 * length))), flags)
        if kind == _REAL:
            length = self._length()
            return self._vector(list(struct.unpack(f">{length}d", self._take(8 * length))), flags)
        if kind in (_STRINGS, _LIST):
            return self._vector([self._item() for _ in range(self._length())], flags)
        raise RDataError(
            f"R value: type {kind} before byte {self._at} is not one that data sets use"
        )

    @staticmethod
    def _encoding(flags: int) -> str:
        return "latin-1" if (flags >> 12) & 0x4 else "utf-8"  # "gp" bits 2: Latin-1, 3: UTF-8

    def _vector(self, elements: list, flags: int) -> RValue:
        attributes = self._item() if flags & 0x200 else None
        return RValue(elements, attributes if isinstance(attributes, dict) else {})

    def _pairlist(self, flags: int) -> dict[str, object]:
        pairs: dict[str, object] = {}
        while flags & 0xFF == _PAIRLIST:
            if flags & 0x200:
                self._item()  # attributes of the list itself: none that matters here
            tag = self._item() if flags & 0x400 else None
            pairs[str(tag)] = self._item()
            flags = self._integer()
        if flags & 0xFF != _NIL:
            raise RDataError(f"R value: a pair list ends with type {flags & 0xFF} instead of NULL")
        return pairs


def decode_r_value(data: bytes) -> object:
    """Decodes one value that R's serialize() wrote in XDR form."""
    try:
        return _XdrReader(data).document()
    except UnicodeDecodeError as error:
        raise RDataError(f"R value: a string is not UTF-8: {error}") from error


def _decompress_record(record: bytes, where: str) -> bytes:
    """A record of an .rdb: u32 big-endian length, then zlib, or a type byte (2 bzip2, Z xz)."""
    if len(record) < 5:
        raise RDataError(f"{where}: a record of {len(record)} bytes is too short")
    (size,) = struct.unpack(">I", record[:4])
    try:
        if record[4:5] == b"2":
            data = bz2.decompress(record[5:])
        elif record[4:5] == b"Z":
            data = lzma.decompress(record[5:])
        else:
            data = zlib.decompress(record[4:])
    except (zlib.error, OSError, lzma.LZMAError) as error:
        raise RDataError(f"{where}: a record cannot be decompressed: {error}") from error
    if len(data) != size:
        raise RDataError(f"{where}: a record has {len(data)} bytes, but announces {size}")
    return data


def read_r_database(database: Path) -> dict[str, list[str]]:
    """All character vectors of a lazy-load database (`database`.rdx and .rdb), by variable."""
    index_path, data_path = database.with_suffix(".rdx"), database.with_suffix(".rdb")
    try:
        index_bytes = zlib.decompress(index_path.read_bytes(), wbits=47)  # zlib or gzip
    except zlib.error as error:
        raise RDataError(f"{index_path}: it cannot be decompressed: {error}") from error
    index = decode_r_value(index_bytes)
    variables = index.named().get("variables") if isinstance(index, RValue) else None
    if not isinstance(variables, RValue):
        raise RDataError(f"{index_path}: it has no list of variables")
    data = data_path.read_bytes()
    vectors: dict[str, list[str]] = {}
    for name, place in variables.named().items():
        offset, length = place.elements
        value = decode_r_value(
            _decompress_record(data[offset : offset + length], f"{data_path}: {name}")
        )
        if isinstance(value, RValue) and all(isinstance(line, str) for line in value.elements):
            vectors[name] = value.elements
    return vectors
