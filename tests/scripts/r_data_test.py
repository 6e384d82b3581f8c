# SPDX-License-Identifier: Apache-2.0
"""Usage: python -m unittest discover -s tests/scripts -p "*_test.py"  (in the repository root)"""

import gzip
import struct
import sys
import tempfile
import unittest
import zlib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import r_data  # noqa: E402

HEADER_V2 = b"X\n" + struct.pack(">iii", 2, 0x00030500, 0x00020300)
HEADER_V3 = b"X\n" + struct.pack(">iiii", 3, 0x00040000, 0x00030500, 5) + b"UTF-8"
NIL = struct.pack(">i", 254)


def characters(text: str | None, encoding: str = "utf-8") -> bytes:
    """A CHARSXP; the level bits say its encoding, as R writes them."""
    if text is None:
        return struct.pack(">ii", 9, -1)
    data = text.encode(encoding)
    level = 4 if encoding == "latin-1" else 8
    return struct.pack(">ii", 9 | level << 12, len(data)) + data


def strings(*texts: str | None, flags: int = 0) -> bytes:
    return struct.pack(">ii", 16 | flags, len(texts)) + b"".join(map(characters, texts))


def names_attribute(*names: str, symbol: bytes | None = None) -> bytes:
    symbol = symbol or struct.pack(">i", 1) + characters("names")
    return struct.pack(">i", 2 | 0x400) + symbol + strings(*names) + NIL


def integers(*values: int) -> bytes:
    return struct.pack(f">ii{len(values)}i", 13, len(values), *values)


def named_list(names: list[str], items: list[bytes], symbol: bytes | None = None) -> bytes:
    head = struct.pack(">ii", 19 | 0x200, len(items))
    return head + b"".join(items) + names_attribute(*names, symbol=symbol)


class RValueTest(unittest.TestCase):
    def test_a_character_vector_is_decoded_in_both_formats(self) -> None:
        for header in (HEADER_V2, HEADER_V3):
            value = r_data.decode_r_value(
                header + strings("It is a truth", "", "naïve – “so”", None)
            )
            self.assertEqual(value.elements, ["It is a truth", "", "naïve – “so”", None])
            self.assertEqual(value.attributes, {})

    def test_a_latin1_string_is_decoded_as_such(self) -> None:
        body = struct.pack(">ii", 16, 1) + characters("façade", "latin-1")
        self.assertEqual(r_data.decode_r_value(HEADER_V2 + body).elements, ["façade"])

    def test_a_named_list_gives_its_elements_by_name(self) -> None:
        value = r_data.decode_r_value(
            HEADER_V2 + named_list(["a", "b"], [integers(7, -1), strings("x")])
        )
        self.assertEqual(value.named()["a"].elements, [7, -1])
        self.assertEqual(value.named()["b"].elements, ["x"])

    def test_a_symbol_is_found_again_by_its_reference(self) -> None:
        inner = named_list(["i"], [integers(1)])
        again = struct.pack(">i", 255 | 1 << 8)  # the first symbol, met inside `inner`
        outer = named_list(["o"], [inner], symbol=again)
        value = r_data.decode_r_value(HEADER_V2 + outer)
        self.assertEqual(value.named()["o"].named()["i"].elements, [1])

    def test_numbers_are_big_endian(self) -> None:
        body = struct.pack(">iid", 14, 1, 0.25)
        self.assertEqual(r_data.decode_r_value(HEADER_V2 + body).elements, [0.25])

    def test_damaged_values_are_errors_that_say_what_is_wrong(self) -> None:
        whole = HEADER_V2 + strings("It is a truth universally acknowledged")
        cases = {
            "not XDR": (b"A\n" + whole[2:], "does not begin"),
            "unknown format": (b"X\n" + struct.pack(">iii", 9, 0, 0), "format 9"),
            "unknown type": (HEADER_V2 + struct.pack(">i", 6), "type 6"),
            "impossible length": (HEADER_V2 + struct.pack(">ii", 16, 2**30), "length"),
            "negative length": (HEADER_V2 + struct.pack(">ii", 13, -5), "length"),
            "unknown reference": (HEADER_V2 + struct.pack(">i", 255 | 3 << 8), "reference 3"),
            "not UTF-8": (HEADER_V2 + struct.pack(">iiii", 16, 1, 9, 1) + b"\xff", "not UTF-8"),
        }
        for cut in range(2, len(whole)):
            cases[f"cut at {cut}"] = (whole[:cut], "")
        for name, (data, words) in cases.items():
            with self.subTest(name), self.assertRaisesRegex(r_data.RDataError, words):
                r_data.decode_r_value(data)


class RDatabaseTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.database = Path(folder.name) / "Rdata"

    def write(self, vectors: dict[str, list[str]], pack=zlib.compress) -> None:
        data, places = b"", []
        for lines in vectors.values():
            value = HEADER_V2 + strings(*lines)
            record = struct.pack(">I", len(value)) + zlib.compress(value)
            places.append(integers(len(data), len(record)))
            data += record
        # The second list's names refer to the symbol that the first one introduced.
        variables = named_list(list(vectors), places)
        reference = struct.pack(">i", 255 | 1 << 8)
        index = HEADER_V2 + named_list(["variables"], [variables], symbol=reference)
        self.database.with_suffix(".rdx").write_bytes(pack(index))
        self.database.with_suffix(".rdb").write_bytes(data)

    def test_all_variables_are_read(self) -> None:
        vectors = {"emma": ["EMMA", "", "By Jane Austen"], "persuasion": ["Sir Walter"]}
        for pack in (zlib.compress, gzip.compress):
            self.write(vectors, pack)
            self.assertEqual(r_data.read_r_database(self.database), vectors)

    def test_a_damaged_record_names_the_file_and_the_variable(self) -> None:
        self.write({"emma": ["EMMA"] * 100})
        path = self.database.with_suffix(".rdb")
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(bytes(data))
        with self.assertRaisesRegex(r_data.RDataError, "Rdata.rdb: emma"):
            r_data.read_r_database(self.database)

    def test_a_wrong_announced_size_is_an_error(self) -> None:
        self.write({"emma": ["EMMA"]})
        path = self.database.with_suffix(".rdb")
        path.write_bytes(struct.pack(">I", 3) + path.read_bytes()[4:])
        with self.assertRaisesRegex(r_data.RDataError, "announces 3"):
            r_data.read_r_database(self.database)

    def test_a_damaged_index_is_an_error(self) -> None:
        self.write({"emma": ["EMMA"]})
        self.database.with_suffix(".rdx").write_bytes(b"no index")
        with self.assertRaisesRegex(r_data.RDataError, "cannot be decompressed"):
            r_data.read_r_database(self.database)


if __name__ == "__main__":
    unittest.main()
