# SPDX-License-Identifier: Apache-2.0
"""Turns text files into the documents file (HDF5) that longrope searches and evaluates on.

Usage: python scripts/tokenize_documents.py --tokenizer models/demo/tokenizer.json \\
           --target-tokens 2048 --alternate novel.txt --heldout other.txt \\
           --segments 16 --output documents/mine.h5
       python scripts/tokenize_documents.py --tokenizer model/tokenizer.json \\
           --alternate 8x262144 novel.txt --alternate 2x2097152 long.txt \\
           --heldout 4x262144 1x2097152 other.txt --output documents/campaign.h5

A text gives --segments documents: evenly spaced, non-overlapping stretches of its tokens, each
just long enough for --target-tokens positions (one less is stored where the tokenizer has a
beginning-of-sequence token, for longrope puts that in front itself). The search sees the
documents of --search, chooses its result on those of --validation and reports --heldout, which
it never decides on; --alternate takes even-numbered segments for search, odd-numbered ones for
validation. The format is described in scripts/documents_format.md.

For a campaign, whose stages have targets of their own, cuts in front of texts say what each of them
gives in place of --segments and --target-tokens: 8x262144 is 8 documents for a target of 262,144
tokens. Several cuts share out a text, without overlap. They hold for the texts behind them up to
the next option; --search, --validation, --heldout and --alternate may be given more than once. A
file whose name looks like a cut is given with its folder: ./16x9.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

FORMAT_VERSION = 1
SPLITS = {"search": 0, "heldout": 1, "validation": 2}
SPLIT_LEGEND = "0 search, 1 heldout, 2 validation"
NO_BOS = -1


class DocumentsError(Exception):
    """Something the user can act on: what was attempted, what was found, what would be accepted."""


class Cut(NamedTuple):
    """So many documents for a target of so many tokens; "8x2048" on the command line."""

    segments: int
    target_tokens: int

    def __str__(self) -> str:
        return f"{self.segments}x{self.target_tokens}"


@dataclass(frozen=True)
class Text:
    """One text and how it is cut: `split` is a key of SPLITS, or "alternate".

    @param cuts  one behind the other; the text is shared out by what each needs
    """

    title: str
    content: str
    split: str
    cuts: tuple[Cut, ...]
    source: str = "not stated"
    licence: str = "not stated"

    def count(self) -> int:
        return sum(cut.segments for cut in self.cuts)

    def targets(self) -> list[int]:
        """The target of each segment."""
        return [cut.target_tokens for cut in self.cuts for _ in range(cut.segments)]

    def splits(self) -> list[int]:
        """The split of each segment; those of "alternate" are numbered from 1, like the titles."""
        if self.split == "alternate":
            return [SPLITS["validation" if n % 2 else "search"] for n in range(1, self.count() + 1)]
        return [SPLITS[self.split]] * self.count()

    def titles(self) -> list[str]:
        return [f"{self.title} {n}/{self.count()}" for n in range(1, self.count() + 1)]

    def sha256(self) -> str:
        return hashlib.sha256(self.content.encode("utf-8")).hexdigest()


def combined_digest(titled_digests: list[tuple[str, str]]) -> str:
    """The file's text_sha256: SHA-256 of one line "<sha256 of the text> <title>" for each text."""
    lines = "".join(f"{sha256} {title}\n" for title, sha256 in titled_digests)
    return hashlib.sha256(lines.encode("utf-8")).hexdigest()


def segment_starts(total_tokens: int, segment_tokens: int, segments: int, title: str) -> list[int]:
    """First token of each of `segments` evenly spaced stretches that do not overlap."""
    fitting = total_tokens // segment_tokens
    if segments > fitting:
        raise DocumentsError(
            f"cannot cut '{title}' into {segments} segments of {segment_tokens} tokens: it has "
            f"{total_tokens} tokens, so {fitting} fit without overlap. "
            + (
                "Use fewer segments, a longer text or shorter targets."
                if fitting
                else "Use a longer text or a shorter target."
            )
        )
    if segments == 1:
        return [0]
    return [n * (total_tokens - segment_tokens) // (segments - 1) for n in range(segments)]


def cut_text(ids: np.ndarray, parts: list[tuple[int, int]], title: str) -> list[np.ndarray]:
    """Segments of each part, (segments, tokens of a segment), from its own stretch of the text."""
    needed = [segments * tokens for segments, tokens in parts]
    if len(parts) > 1 and len(ids) < sum(needed):
        each = [f"{counted(segments, 'segment')} of {tokens} tokens" for segments, tokens in parts]
        raise DocumentsError(
            f"cannot cut '{title}' into {' and '.join(each)}: it has {len(ids)} tokens, and "
            f"{sum(needed)} are needed. Use fewer segments, a longer text or shorter targets."
        )
    pieces, used = [], 0
    for (segments, tokens), need in zip(parts, needed, strict=True):
        begin = len(ids) * used // sum(needed)
        used += need
        stretch = ids[begin : len(ids) * used // sum(needed)]
        for start in segment_starts(len(stretch), tokens, segments, title):
            pieces.append(stretch[start : start + tokens])
    return pieces


def load_tokenizer(path: Path) -> tuple[Tokenizer, str]:
    """The tokenizer of a tokenizer.json and the SHA-256 of that file."""
    from tokenizers import Tokenizer

    try:
        data = path.read_bytes()
    except OSError as error:
        raise DocumentsError(
            f"cannot read the tokenizer {path}: {error.strerror}. A tokenizer.json as models on "
            "Hugging Face have it is expected."
        ) from error
    try:
        tokenizer = Tokenizer.from_str(data.decode("utf-8"))
        # What the file may ask for in batches of a training cuts and fills up whole texts.
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, hashlib.sha256(data).hexdigest()
    except Exception as error:  # the library raises plain Exception
        raise DocumentsError(
            f"cannot read the tokenizer {path}: it is no tokenizer.json: {error}"
        ) from error


def find_bos(tokenizer: Tokenizer, wish: str) -> int:
    """Id of the token in front of every document, or NO_BOS.

    `wish` is "auto" (what the tokenizer itself puts in front of a text), "none", or a token.
    """
    if wish == "none":
        return NO_BOS
    if wish == "auto":
        plain = tokenizer.encode("a", add_special_tokens=False).ids
        ids = tokenizer.encode("a", add_special_tokens=True).ids
        return ids[0] if len(ids) > len(plain) and ids[1 : 1 + len(plain)] == plain else NO_BOS
    token_id = tokenizer.token_to_id(wish)
    if token_id is None:
        raise DocumentsError(
            f"--bos {wish}: the tokenizer has no such token; 'auto' and 'none' also go"
        )
    return token_id


def write_documents(
    output: Path, tokenizer_path: Path, texts: list[Text], bos: str = "auto"
) -> int:
    """Writes the documents file, whole or not at all; returns the number of documents.

    Raises DocumentsError if a text is too short, empty, or in two splits, or if `output` cannot
    be written.
    """
    import numpy as np

    tokenizer, tokenizer_sha256 = load_tokenizer(tokenizer_path)
    bos_id = find_bos(tokenizer, bos)
    bos_tokens = 0 if bos_id == NO_BOS else 1
    shortest = min(target for text in texts for target in text.targets())
    if shortest - bos_tokens < 1:
        raise DocumentsError(f"a target of {shortest} tokens is too short: use 2 or more")
    _refuse_repeated(texts)
    pieces: list[np.ndarray] = []
    for text in texts:
        ids = np.asarray(tokenizer.encode(text.content, add_special_tokens=False).ids, dtype="<i4")
        parts = [(segments, target - bos_tokens) for segments, target in text.cuts]
        pieces += cut_text(ids, parts, text.title)
    write_tokens(
        output,
        pieces,
        titles=[title for text in texts for title in text.titles()],
        splits=[split for text in texts for split in text.splits()],
        attributes={
            "bos_token_id": bos_id,
            "tokenizer_sha256": tokenizer_sha256,
            "text_sha256": combined_digest([(text.title, text.sha256()) for text in texts]),
            "sources": "\n".join(f"{text.title}: {text.source}" for text in texts),
            "licences": "\n".join(f"{text.title}: {text.licence}" for text in texts),
        },
    )
    return len(pieces)


def _refuse_repeated(texts: list[Text]) -> None:
    seen: dict[str, Text] = {}
    for text in texts:
        other = seen.setdefault(text.sha256(), text)
        if other is not text:
            raise DocumentsError(
                f"'{text.title}' ({text.split}) is the same text as '{other.title}' "
                f"({other.split}). "
                "What is searched on must not be what is reported: give each text once, "
                "for several targets with a cut for each in front of it."
            )


def write_tokens(
    output: Path,
    documents: list[np.ndarray],
    titles: list[str],
    splits: list[int],
    attributes: dict[str, int | str],
) -> None:
    """Writes token arrays in the documents format, through a temporary file and a rename."""
    import h5py
    import numpy as np

    offsets = np.concatenate([[0], np.cumsum([len(document) for document in documents])])
    tokens = np.concatenate(documents).astype("<i4")
    encoded = [title.encode("utf-8") for title in titles]
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(
            prefix=f".{output.name}.", suffix=".tmp", dir=output.parent
        )
        os.close(descriptor)
    except OSError as error:
        raise DocumentsError(f"cannot write {output}: {error.strerror}") from error
    temporary = Path(name)
    try:
        with h5py.File(temporary, "w", libver="earliest") as file:
            file.create_dataset("tokens", data=tokens, dtype="<i4")
            file.create_dataset("offsets", data=offsets, dtype="<i8")
            width = max(map(len, encoded))
            file.create_dataset(
                "titles", data=np.array(encoded, dtype=h5py.string_dtype("utf-8", width))
            )
            split = file.create_dataset("split", data=np.array(splits), dtype="u1")
            set_text(split.attrs, "legend", SPLIT_LEGEND)
            file.attrs.create("format_version", FORMAT_VERSION, dtype="<i4")
            set_text(file.attrs, "tokens_sha256", hashlib.sha256(tokens.tobytes()).hexdigest())
            for key, value in attributes.items():
                if isinstance(value, int):
                    file.attrs.create(key, value, dtype="<i4")
                else:
                    set_text(file.attrs, key, value)
        publish(temporary, output)
    except (OSError, RuntimeError) as error:  # h5py raises either, as it writes or closes
        reason = getattr(error, "strerror", None) or error
        raise DocumentsError(f"cannot write {output}: {reason}") from error
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, output: Path) -> None:
    """Gives a finished file its name, for all to read as the user's umask has it."""
    temporary.chmod(0o666 & ~_umask())
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(output)


def set_text(attributes, name: str, text: str) -> None:
    """A scalar attribute of fixed length in UTF-8: what a C program reads without allocation."""
    import h5py
    import numpy as np

    data = text.encode("utf-8") or b"\0"
    attributes.create(name, np.array(data, dtype=h5py.string_dtype("utf-8", len(data))))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")  # a byte-order mark is no text
    except OSError as error:
        raise DocumentsError(f"cannot read the text {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DocumentsError(f"cannot read the text {path}: it is not UTF-8: {error}") from error


def counted(number: int, what: str) -> str:
    """ "1 text", "2 texts" """
    return f"{number} {what}" + ("" if number == 1 else "s")


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


def cut_or_path(word: str) -> Cut | Path:
    match = re.fullmatch(r"(\d+)x(\d+)", word)
    if match is None:
        return Path(word)
    cut = Cut(*map(int, match.groups()))
    if min(cut) < 1:
        raise argparse.ArgumentTypeError(f"{word}: segments and tokens are 1 or more")
    return cut


def split_cuts(split: str, words: list[Cut | Path]) -> tuple[tuple[Cut, ...], list[Path]]:
    """The cuts and the texts behind them, of one option; raises ValueError if they mean nothing."""
    count = next((n for n, word in enumerate(words) if isinstance(word, Path)), len(words))
    cuts, files = tuple(words[:count]), words[count:]
    said = " ".join(map(str, cuts))
    if not files:
        raise ValueError(f"--{split} {said}: no text behind it")
    for before, word in zip(files, files[1:], strict=False):
        if isinstance(word, Cut):
            raise ValueError(
                f"--{split} {word}: it is behind the text {before}: cuts go in front of their "
                f"texts, and other texts with other cuts behind another --{split}"
            )
    if len({cut.target_tokens for cut in cuts}) < len(cuts):
        raise ValueError(f"--{split} {said}: one target twice: add the segments up")
    for cut in cuts:
        if split == "alternate" and cut.segments == 1:
            raise ValueError(
                f"--alternate {cut}: one document is not for search and validation both: "
                "use 2 or more, or --search and --validation"
            )
    return cuts, files


def cut_files(arguments: argparse.Namespace) -> list[tuple[str, Path, tuple[Cut, ...]]]:
    """Split, path and cuts of each text; raises ValueError if the arguments do not fit together."""
    groups = [
        (split, *split_cuts(split, words))
        for split in (*SPLITS, "alternate")
        for words in getattr(arguments, split)
    ]
    if not groups:
        raise ValueError("no text given: use --search, --validation, --heldout or --alternate")
    plain = [f"--{split} {files[0]}" for split, cuts, files in groups if not cuts]
    if plain and arguments.target_tokens is None:
        raise ValueError(
            f"{plain[0]}: no target: give --target-tokens, or a cut such as 8x2048 in front of it"
        )
    for name in ("target_tokens", "segments"):
        if not plain and getattr(arguments, name) is not None:
            raise ValueError(
                f"--{name.replace('_', '-')} {getattr(arguments, name)}: no text that it is for: "
                "all have cuts in front of them"
            )
    usual = (Cut(arguments.segments or 1, arguments.target_tokens or 0),)
    return [(split, path, cuts or usual) for split, cuts, files in groups for path in files]


def describe_targets(texts: list[Text]) -> str:
    """How many documents of each split there are for each target: a line each."""
    counts = Counter(
        documents for text in texts for documents in zip(text.targets(), text.splits(), strict=True)
    )
    lines = ""
    for target in sorted({target for target, _ in counts}):
        of = [
            f"{counts[target, SPLITS[split]]} {split}"
            for split in ("search", "validation", "heldout")
            if counts[target, SPLITS[split]]
        ]
        lines += f"\n  {target} tokens: {', '.join(of)}"
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokenizer", type=Path, required=True, help="the model's tokenizer.json")
    parser.add_argument("--output", type=Path, required=True, help="the documents file to write")
    parser.add_argument(
        "--target-tokens",
        type=positive,
        help="positions that a document is to fill, as in the search's configuration; for all "
        "texts without cuts",
    )
    parser.add_argument(
        "--segments",
        type=positive,
        help="documents cut from each text without cuts (default: 1)",
    )
    parser.add_argument(
        "--bos",
        default="auto",
        help="the token in front of a document: auto, none, or a token such as '<s>' "
        "(default: %(default)s: what the tokenizer itself adds)",
    )
    for split in (*SPLITS, "alternate"):
        parser.add_argument(
            f"--{split}",
            type=cut_or_path,
            action="append",
            nargs="+",
            default=[],
            metavar="FILE",
            help=f"UTF-8 texts for {split}, cuts such as 8x2048 in front of them"
            if split in SPLITS
            else "UTF-8 texts: even segments for search, odd ones for validation; cuts likewise",
        )
    parser.add_argument(
        "--source", default="not stated", help="where the texts come from, stored in the file"
    )
    parser.add_argument(
        "--licence", default="not stated", help="licence of the texts, stored in the file"
    )
    parser.add_argument("--force", action="store_true", help="replace an output that exists")
    arguments = parser.parse_args()
    if arguments.output.exists() and not arguments.force:
        parser.error(f"--output {arguments.output}: is there already; --force replaces it")
    try:
        files = cut_files(arguments)
    except ValueError as error:
        parser.error(str(error))
    try:
        texts = [
            Text(path.stem, read_text(path), split, cuts, arguments.source, arguments.licence)
            for split, path, cuts in files
        ]
        count = write_documents(arguments.output, arguments.tokenizer, texts, arguments.bos)
    except DocumentsError as error:
        print(f"tokenize_documents: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"tokenize_documents: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh, or pip install -r scripts/requirements.txt",
            file=sys.stderr,
        )
        return 1
    several = len({target for text in texts for target in text.targets()}) > 1
    print(
        f"{arguments.output}: {counted(count, 'document')} of {counted(len(files), 'text')}"
        + (describe_targets(texts) if several else "")
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
