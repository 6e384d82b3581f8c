# SPDX-License-Identifier: Apache-2.0
"""Losses of models under position encodings, on the same text at every length, with their noise.

Usage: not a program; scripts/campaign_table.py reads it.
"""

from __future__ import annotations

import hashlib
import json
import math
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import finetune_state
import h5py
import numpy as np
import tokenize_documents
from rescale_factors import Rescaling

BASELINES = ("none", "pi", "ntk", "dynamic-ntk", "yarn")
BLOCK_TOKENS = 1024
BEYOND_NOISE = 2.0  # standard errors


class TableError(Exception):
    """Something the user can act on: what was attempted, what was found."""


@dataclass(frozen=True)
class Section:
    """Rows of one model under one attention scale: baselines for a target, and a searched list."""

    title: str
    model: Path
    target_tokens: int
    searched: Rescaling | None
    baselines: tuple[str, ...]
    lengths: tuple[int, ...]

    def rows(self) -> tuple[str, ...]:
        return (*self.baselines, "searched") if self.searched else self.baselines


@dataclass(frozen=True)
class Cell:
    """Mean negative log-likelihood of each block of text, in nats per token."""

    blocks: np.ndarray  # float64 [blocks]

    @property
    def perplexity(self) -> float:
        return math.exp(self.blocks.mean())

    @property
    def standard_error(self) -> float:
        """Of the perplexity, relative to it."""
        return float(self.blocks.std(ddof=1) / math.sqrt(len(self.blocks)))


@dataclass(frozen=True)
class Difference:
    """How much higher a perplexity is than another on the same text, as a share of it."""

    mean: float
    standard_error: float

    @property
    def is_beyond_noise(self) -> bool:
        return abs(self.mean) > BEYOND_NOISE * self.standard_error

    def __str__(self) -> str:
        verdict = "beyond noise" if self.is_beyond_noise else "within noise"
        return f"{100 * self.mean:+.2f} ± {100 * self.standard_error:.2f} %, {verdict}"


def difference(cell: Cell, reference: Cell) -> Difference:
    apart = Cell(cell.blocks - reference.blocks)
    mean = math.expm1(apart.blocks.mean())
    return Difference(mean, (1 + mean) * apart.standard_error)


# --- Text ---------------------------------------------------------------------------------------


def cut_windows(documents: Path, folder: Path, tokens: int) -> Path:
    """A documents file of windows of `tokens` positions, from a stretch of each held-out book.

    The stretch is the first document of each book, as far as whole windows of every length go.
    """
    with h5py.File(documents) as file:
        offsets, split = file["offsets"][:], file["split"][:]
        titles = [title.decode("utf-8") for title in file["titles"][:]]
        bos = int(file.attrs["bos_token_id"])
        attributes = {
            name: file.attrs[name].decode()
            for name in ("tokenizer_sha256", "text_sha256", "sources", "licences")
        }
        first: dict[str, int] = {}
        for number in np.flatnonzero(split == tokenize_documents.SPLITS["heldout"]):
            first.setdefault(titles[number].rpartition(" ")[0], int(number))
        windows, names = [], []
        inside = tokens - (bos != tokenize_documents.NO_BOS)
        for book, number in first.items():
            ids = file["tokens"][offsets[number] : offsets[number + 1]]
            count = len(ids) // inside
            if count == 0:
                raise TableError(f"{documents}: '{book}' fills {len(ids)} of {tokens} positions")
            windows += [ids[n * inside : (n + 1) * inside] for n in range(count)]
            names += [f"{book} {n + 1}/{count}" for n in range(count)]
    if not windows:
        raise TableError(f"{documents} has no held-out document")
    output = folder / f"windows-{tokens}.h5"
    splits = [tokenize_documents.SPLITS["heldout"]] * len(windows)
    tokenize_documents.write_tokens(
        output, windows, names, splits, attributes | {"bos_token_id": bos}
    )
    return output


def block_means(nll: np.ndarray, books: list[str]) -> np.ndarray:
    """Means over blocks of the text, of windows in its order.

    @param nll    float32 [windows, scored tokens], in nats
    @param books  of each window
    """
    means = []
    for book in dict.fromkeys(books):
        text = np.concatenate([row for row, of in zip(nll, books, strict=True) if of == book])
        blocks = len(text) // BLOCK_TOKENS
        means += (
            text[: blocks * BLOCK_TOKENS].reshape(blocks, -1).astype(np.float64).mean(1).tolist()
        )
    return np.array(means)


# --- Measuring ----------------------------------------------------------------------------------


class Meter:
    """Runs `longrope evaluate` and keeps what it said."""

    def __init__(self, program: list[str], documents: Path, kept: Path) -> None:
        self._program, self._documents, self._kept = program, documents, kept
        self._text = hashlib.sha256(documents.read_bytes()).hexdigest()
        self._digests: dict[Path, str] = {}

    def has(self, section: Section, tokens: int) -> bool:
        """Whether the cells of a section at a length were measured before."""
        return self._file(section, tokens).is_file()

    def measure(self, section: Section, tokens: int) -> dict[str, Cell]:
        """The cells of a section at a length, by row."""
        file = self._file(section, tokens)
        if not file.is_file():
            self._evaluate(section, tokens, file)
        with np.load(file) as stored:
            return {row: Cell(stored[row]) for row in section.rows()}

    def _file(self, section: Section, tokens: int) -> Path:
        """Where cells are kept; a name that follows from all that decides them."""
        if section.model not in self._digests:
            self._digests[section.model] = finetune_state.model_digest(section.model)
        identity = {
            "model": self._digests[section.model],
            "text": self._text,
            "tokens": tokens,
            "target": section.target_tokens,
            "baselines": section.baselines,
            "searched": section.searched.identity() if section.searched else None,
        }
        digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
        return self._kept / f"{digest[:24]}.npz"

    def _evaluate(self, section: Section, tokens: int, file: Path) -> None:
        self._kept.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".measuring-", dir=self._kept) as name:
            folder = Path(name)
            windows = cut_windows(self._documents, folder, tokens)
            output = folder / "tokens.h5"
            command = [
                *self._program,
                *("evaluate", "--model", str(section.model), "--documents", str(windows)),
                *("--split", "heldout", "--tokens", str(tokens), "--per-token", str(output)),
                *("--target-tokens", str(section.target_tokens)),
                *("--methods", ",".join(section.baselines) or "none"),
            ]
            if section.searched:
                factors = folder / "factors.csv"
                factors.write_text("\n".join(map(repr, section.searched.factors.tolist())))
                command += [
                    *("--factors", str(factors)),
                    *("--start-tokens", str(section.searched.start_tokens)),
                    *("--attention-scale", repr(section.searched.attention_scale)),
                ]
            print(f"campaign_table: {section.title}, {tokens} tokens", file=sys.stderr, flush=True)
            done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            if done.returncode != 0 or not output.is_file():
                raise TableError(
                    f"{shlex.join(command)} ended with status {done.returncode}; its message is "
                    "above"
                )
            with h5py.File(windows) as opened:
                books = [title.decode().rpartition(" ")[0] for title in opened["titles"][:]]
            with h5py.File(output) as opened:
                groups = {"searched": "factors"}
                cells = {
                    row: block_means(opened[f"{groups.get(row, row)}/{tokens}/nll"][:], books)
                    for row in section.rows()
                }
            unfinished = folder / "cells.npz"
            np.savez(unfinished, **cells)
            unfinished.replace(file)
