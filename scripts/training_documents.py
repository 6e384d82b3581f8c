# SPDX-License-Identifier: Apache-2.0
"""Training text as tokens: the writer of a training documents file, and the segments cut from it.

Usage: not a program; scripts/prepare_corpus.py writes such files, scripts/finetune.py reads them.

A training documents file is a documents file (scripts/documents_format.md) whose documents are
whole texts of the split `train`; longrope refuses to search or to evaluate on it. It may be larger
than memory: it is written text by text and read segment by segment.

A segment fills the context: BOS, a stretch of the text, EOS (each where the model has one). The
texts follow one another in the file's order, with EOS and BOS where one ends and the next begins.
Every epoch cuts them at another offset and visits the stretches in an order of its own; both follow
from the seed alone, so that step n has the same segments after any interruption and on any number
of processes.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import tokenize_documents
from tokenize_documents import DocumentsError

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

TRAIN_SPLIT = 3
SPLIT_LEGEND = f"{tokenize_documents.SPLIT_LEGEND}, {TRAIN_SPLIT} train"
COPIED_TOKENS = 1 << 22  # at a time, from the spool to the file
TEXTS_AT_ONCE = 64  # tokenized in parallel
MAKERS = (
    "scripts/prepare_demo_training.py makes the demo's training documents, "
    "scripts/prepare_corpus.py those of other texts"
)


@dataclass(frozen=True)
class TrainingText:
    title: str
    content: str
    source: str = "not stated"
    licence: str = "not stated"


# --- Writing ------------------------------------------------------------------------------------


@dataclass
class _Written:
    """What is known of the texts so far; their tokens lie in the spool."""

    offsets: list[int] = field(default_factory=lambda: [0])
    titles: list[bytes] = field(default_factory=list)
    digests: list[tuple[str, str]] = field(default_factory=list)
    sources: dict[str, None] = field(default_factory=dict)  # in order, each once
    licences: dict[str, None] = field(default_factory=dict)


def write_training_documents(
    output: Path,
    tokenizer_path: Path,
    texts: Iterable[TrainingText],
    on_tokens=lambda documents, tokens: None,
    bos: str = "auto",
) -> tuple[int, int]:
    """Writes whole texts as documents of the split `train`; returns how many, and their tokens.

    The file appears whole or not at all. `on_tokens` is told the totals after each batch of texts.

    Raises DocumentsError if there is no text, or the file cannot be written.
    """
    tokenizer, tokenizer_sha256 = tokenize_documents.load_tokenizer(tokenizer_path)
    bos_id = tokenize_documents.find_bos(tokenizer, bos)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=f".{output.name}.", dir=output.parent) as spool:
            written = _spool(spool, tokenizer, texts, on_tokens)
            if written.offsets[-1] == 0:
                raise DocumentsError(f"cannot write {output}: the texts have no tokens")
            _write_file(output, spool, written, bos_id, tokenizer_sha256)
    except (OSError, RuntimeError) as error:  # h5py raises either, as it writes or closes
        reason = getattr(error, "strerror", None) or error
        raise DocumentsError(f"cannot write {output}: {reason}") from error
    return len(written.titles), written.offsets[-1]


def _spool(
    spool: BinaryIO, tokenizer: Tokenizer, texts: Iterable[TrainingText], on_tokens
) -> _Written:
    import numpy as np

    written = _Written()
    waiting: list[TrainingText] = []

    def flush() -> None:
        encodings = tokenizer.encode_batch([t.content for t in waiting], add_special_tokens=False)
        for text, encoding in zip(waiting, encodings, strict=True):
            ids = np.asarray(encoding.ids, dtype="<i4")
            spool.write(ids.tobytes())
            written.offsets.append(written.offsets[-1] + len(ids))
            written.titles.append(text.title.encode("utf-8"))
            sha256 = hashlib.sha256(text.content.encode("utf-8")).hexdigest()
            written.digests.append((text.title, sha256))
            written.sources[text.source] = None
            written.licences[text.licence] = None
        waiting.clear()
        on_tokens(len(written.titles), written.offsets[-1])

    for text in texts:
        waiting.append(text)
        if len(waiting) == TEXTS_AT_ONCE:
            flush()
    if waiting:
        flush()
    return written


def _write_file(
    output: Path, spool: BinaryIO, written: _Written, bos_id: int, tokenizer_sha256: str
) -> None:
    import h5py
    import numpy as np

    descriptor, name = tempfile.mkstemp(prefix=f".{output.name}.", suffix=".tmp", dir=output.parent)
    os.close(descriptor)
    temporary = Path(name)
    total = written.offsets[-1]
    try:
        with h5py.File(temporary, "w", libver="earliest") as file:
            tokens = file.create_dataset("tokens", (total,), dtype="<i4")
            digest = hashlib.sha256()
            spool.seek(0)
            for begin in range(0, total, COPIED_TOKENS):
                data = spool.read(4 * min(COPIED_TOKENS, total - begin))
                digest.update(data)
                tokens[begin : begin + len(data) // 4] = np.frombuffer(data, dtype="<i4")
            file.create_dataset("offsets", data=np.array(written.offsets), dtype="<i8")
            width = max(1, *map(len, written.titles))
            titles = np.array(written.titles, dtype=h5py.string_dtype("utf-8", width))
            file.create_dataset("titles", data=titles)
            train = np.full(len(written.titles), TRAIN_SPLIT, dtype="u1")
            split = file.create_dataset("split", data=train)
            tokenize_documents.set_text(split.attrs, "legend", SPLIT_LEGEND)
            file.attrs.create("format_version", tokenize_documents.FORMAT_VERSION, dtype="<i4")
            file.attrs.create("bos_token_id", bos_id, dtype="<i4")
            for key, value in {
                "tokenizer_sha256": tokenizer_sha256,
                "text_sha256": tokenize_documents.combined_digest(written.digests),
                "tokens_sha256": digest.hexdigest(),
                "sources": "\n".join(written.sources),
                "licences": "\n".join(written.licences),
            }.items():
                tokenize_documents.set_text(file.attrs, key, value)
        tokenize_documents.publish(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


# --- Reading ------------------------------------------------------------------------------------


class TrainingTokens:
    """The texts of a training documents file, one after the other, and the segments cut from them.

    Of the tokens nothing is held in memory; the file stays open.
    """

    def __init__(self, file: Path) -> None:
        """Raises DocumentsError if `file` is no documents file, or has no text of the split."""
        import h5py

        try:
            self._file = h5py.File(file, "r")
        except OSError as error:
            reason = error if file.exists() else f"there is no such file; {MAKERS}"
            raise DocumentsError(f"cannot read the training documents {file}: {reason}") from error
        try:
            splits = self._file["split"][:]
            self._tokens = self._file["tokens"]
            self._offsets = self._file["offsets"][:]
            self.bos_id = int(self._file.attrs["bos_token_id"])
            self.digest = _text(self._file.attrs["tokens_sha256"])
            self.tokenizer_sha256 = _text(self._file.attrs["tokenizer_sha256"])
        except (KeyError, OSError) as error:
            raise DocumentsError(
                f"cannot read the training documents {file}: it is no documents file: {error}"
            ) from error
        if not len(splits) or (splits != TRAIN_SPLIT).any():
            raise DocumentsError(
                f"{file} has {int((splits != TRAIN_SPLIT).sum())} documents that are not of the "
                "split train: what is searched, chosen or reported on must not be trained on; "
                + MAKERS
            )
        self.file = file

    def __len__(self) -> int:
        return int(self._offsets[-1])

    @property
    def documents(self) -> int:
        return len(self._offsets) - 1

    def stretch(self, begin: int, length: int, between: list[int]) -> np.ndarray:
        """`length` tokens from `begin` on, with `between` where a document ends inside."""
        import numpy as np

        ids = self._tokens[begin : begin + length].astype(np.int64)
        first = int(np.searchsorted(self._offsets, begin, side="right"))
        last = int(np.searchsorted(self._offsets, begin + length, side="left"))
        # Empty texts end where others do: each place once.
        places = np.unique(self._offsets[first:last]) - begin
        if not between or not len(places):
            return ids
        ids = np.insert(ids, np.repeat(places, len(between)), np.tile(between, len(places)))
        return ids[:length]  # the separators push out as many tokens at the end

    def close(self) -> None:
        self._file.close()


def _text(value: bytes | str) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


class Segments:
    """The segments of a training run, by step. Token ids, int64 [segment_tokens].

    @param eos_id  None where the model has no end-of-sequence token
    """

    def __init__(
        self, tokens: TrainingTokens, segment_tokens: int, eos_id: int | None, seed: int
    ) -> None:
        self._tokens = tokens
        self._seed = seed
        self._begin = [] if tokens.bos_id < 0 else [tokens.bos_id]
        self._end = [] if eos_id is None else [eos_id]
        self.stretch_tokens = segment_tokens - len(self._begin) - len(self._end)
        if self.stretch_tokens < 1:
            raise DocumentsError(f"segments of {segment_tokens} tokens are too short: use more")
        # One less, so that every offset below a stretch leaves the same number of whole ones.
        self.per_epoch = len(tokens) // self.stretch_tokens - 1
        if self.per_epoch < 1:
            raise DocumentsError(
                f"{tokens.file} has {len(tokens)} tokens, too few for segments of "
                f"{segment_tokens}: {2 * self.stretch_tokens} are needed"
            )
        self._ordered_epoch: int | None = None

    def segment(self, number: int) -> np.ndarray:
        """The segment of this number, counted from 0 through all epochs."""
        import numpy as np

        epoch, index = divmod(number, self.per_epoch)
        begin = self._offset(epoch) + int(self._order(epoch)[index]) * self.stretch_tokens
        ids = self._tokens.stretch(begin, self.stretch_tokens, self._end + self._begin)
        return np.concatenate([np.array(self._begin, int), ids, np.array(self._end, int)])

    def _offset(self, epoch: int) -> int:
        import numpy as np

        return int(np.random.default_rng([self._seed, epoch, 0]).integers(self.stretch_tokens))

    def _order(self, epoch: int) -> np.ndarray:
        import numpy as np

        if self._ordered_epoch != epoch:
            self._ordered_epoch = epoch
            random = np.random.default_rng([self._seed, epoch, 1])
            self._stretches = random.permutation(self.per_epoch)
        return self._stretches

    def batch(self, step: int, size: int, process: int = 0, processes: int = 1) -> list[np.ndarray]:
        """The segments of a step (from 0) that a process trains on, every `processes`-th."""
        first = step * size
        return [self.segment(first + n) for n in range(process, size, processes)]
