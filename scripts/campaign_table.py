# SPDX-License-Identifier: Apache-2.0
"""Measures the demo's campaign: perplexity of models x position encodings x lengths, as Markdown.

Usage: python scripts/campaign_table.py --history runs/demo-campaign/search.h5

One stretch of each held-out book is cut into windows of each length, so that all columns score the
same text. Rows of a block have one model and one attention scale; the vectors of a block are those
for one target, at all lengths. Standard errors are over blocks of 1,024 tokens of that text, and
differences are paired by block; neighbouring blocks are taken as independent. What was measured is
kept beside the history, and not measured again when the script is.
"""

from __future__ import annotations

import argparse
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
import rescale_factors
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
    searched: Rescaling | None = None
    baselines: tuple[str, ...] = BASELINES
    lengths: tuple[int, ...] | None = None  # None: all

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


# --- The table ----------------------------------------------------------------------------------


def sections_of(arguments: argparse.Namespace) -> list[Section]:
    """What is measured; the models and stages are those of scripts/demo_campaign.sh."""
    facts = rescale_factors.read_facts(arguments.base)
    with h5py.File(arguments.history) as file:
        names = sorted(file["stages"], key=lambda name: file["stages"][name].attrs["order"])
    if len(names) != 3:
        raise TableError(f"{arguments.history} has {len(names)} stages; the campaign has three")
    first, second, short = (
        rescale_factors.read_stage(arguments.history, name, facts) for name in names
    )
    near, far, window = first.target_tokens, second.target_tokens, facts.window
    base, tuned = arguments.base, arguments.tuned
    yarn, short_trained = arguments.tuned_yarn, arguments.tuned_short
    return [
        Section("untouched, as it is", base, window, None, ("none",), (window,)),
        Section(f"untouched, for {near}", base, near, first),
        Section(f"tuned (searched), for {near}", tuned, near, first, ("yarn",)),
        Section(f"tuned (searched), for {far}", tuned, far, second),
        Section(f"tuned (searched), for {window}", tuned, window, short, (), (window,)),
        Section(f"tuned (YaRN), for {near}", yarn, near, first, ("yarn",)),
        Section(f"tuned (YaRN), for {far}", yarn, far, second),
        Section(f"trained on at {window}", short_trained, window, None, ("none",), (window,)),
        Section(
            f"trained on at {window}, for {near}", short_trained, near, first, ("none", "yarn")
        ),
    ]


Cells = dict[tuple[str, str, int], Cell]  # by section, row, length


def markdown(sections: list[Section], lengths: list[int], cells: Cells) -> str:
    """A row per model and encoding; each cell is perplexity ± standard error in per cent."""
    lines = [
        "| model, vectors | row | " + " | ".join(f"{length:,}" for length in lengths) + " |",
        "|---|---|" + "---|" * len(lengths),
    ]
    for section in sections:
        for row in section.rows():
            found = [cells.get((section.title, row, length)) for length in lengths]
            shown = [
                f"{cell.perplexity:.1f} ± {cell.perplexity * cell.standard_error:.1f}"
                if cell
                else ""
                for cell in found
            ]
            lines.append(f"| {section.title} | {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def comparisons(sections: list[Section], lengths: list[int], cells: Cells) -> list[str]:
    """What the campaign is about, paired by block of text."""
    plain, base, tuned_near, tuned_far, recovery, yarn_near, yarn_far, longer, _ = (
        section.title for section in sections
    )
    window, near, far = (sections[n].target_tokens for n in (0, 1, 3))
    searched_near, searched_far = (tuned_near, "searched", near), (tuned_far, "searched", far)
    untouched, recovered = (plain, "none", window), (recovery, "searched", window)
    pairs = [
        (
            "the searched list against YaRN, untouched",
            (base, "searched", near),
            (base, "yarn", near),
        ),
        (
            "tuned with the searched list against untouched, under that list",
            searched_near,
            (base, "searched", near),
        ),
        (
            "tuned with the searched list, under it, against tuned with YaRN's, under that",
            searched_near,
            (yarn_near, "yarn", near),
        ),
        (
            "the list of the second search against YaRN, tuned with the searched list",
            searched_far,
            (tuned_far, "yarn", far),
        ),
        (
            "the list of the second search, tuned with the searched list, against YaRN, tuned "
            "with YaRN's",
            searched_far,
            (yarn_far, "yarn", far),
        ),
        ("the recovered list, tuned, against the untouched model", recovered, untouched),
        (
            "the recovered list, tuned, against as many steps at the first window",
            recovered,
            (longer, "none", window),
        ),
        (
            "as many steps at the first window against the untouched model",
            (longer, "none", window),
            untouched,
        ),
        (
            "the list of the second search, tuned, against the untouched model",
            (tuned_far, "searched", window),
            untouched,
        ),
    ]
    lines = []
    for what, cell, reference in pairs:
        if cell in cells and reference in cells:
            lines.append(f"- At {cell[2]:,}, {what}: {difference(cells[cell], cells[reference])}.")
    return lines


def write_csv(file: Path, cells: Cells) -> None:
    lines = ["model,positions,tokens,perplexity,standard_error,blocks"]
    for (section, row, tokens), cell in cells.items():
        error = cell.perplexity * cell.standard_error
        lines.append(f'"{section}",{row},{tokens},{cell.perplexity!r},{error!r},{len(cell.blocks)}')
    finetune_state.write_text(file, "\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--history", type=Path, required=True, help="search.h5 of the campaign")
    parser.add_argument(
        "--documents",
        type=Path,
        default=Path("documents/demo-campaign.h5"),
        help="whose held-out documents are measured (default: %(default)s)",
    )
    for name, folder, text in (
        ("base", "models/demo", "the untouched model"),
        ("tuned", "models/demo-2048", "tuned with the searched factors"),
        ("tuned-yarn", "models/demo-2048-yarn", "tuned with YaRN's factors"),
        ("tuned-short", "models/demo-256", "trained as many steps at the first window"),
    ):
        parser.add_argument(
            f"--{name}", type=Path, default=Path(folder), help=f"{text} (default: %(default)s)"
        )
    parser.add_argument(
        "--lengths",
        type=lambda text: [int(word) for word in text.split(",")],
        default=[256 << n for n in range(7)],
        help="in tokens, with commas between (default: 256 to 16384)",
    )
    parser.add_argument(
        "--program",
        type=shlex.split,
        default=["build/release/longrope"],
        help="with its launcher, if any (default: build/release/longrope)",
    )
    parser.add_argument(
        "--kept-only", action="store_true", help="measure nothing; print what there is"
    )
    arguments = parser.parse_args()
    try:
        sections = sections_of(arguments)
        meter = Meter(arguments.program, arguments.documents, arguments.history.parent / "cells")
        cells: Cells = {}
        for section in sections:
            for tokens in section.lengths or arguments.lengths:
                if arguments.kept_only and not meter.has(section, tokens):
                    continue
                for row, cell in meter.measure(section, tokens).items():
                    cells[section.title, row, tokens] = cell
    except (
        TableError,
        rescale_factors.FactorsError,
        finetune_state.StateError,
        tokenize_documents.DocumentsError,
        OSError,
    ) as error:
        print(f"campaign_table: {error}", file=sys.stderr)
        return 1
    print(markdown(sections, arguments.lengths, cells), end="\n\n")
    print("\n".join(comparisons(sections, arguments.lengths, cells)))
    write_csv(arguments.history.parent / "table.csv", cells)
    return 0


if __name__ == "__main__":
    sys.exit(main())
