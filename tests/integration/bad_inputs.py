# SPDX-License-Identifier: Apache-2.0
"""Inputs that the program must refuse: what is wrong with them, and what must be answered.

Usage, in a test:
    for case in bad_inputs.USAGE:
        case.spoil(folder)
        answer = run_program(*case.words, folder=folder)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy

from search_run import synthetic_search

EXIT_USAGE = 2
EXIT_CONFIGURATION = 3
EXIT_BAD_FILE = 4

CRASHING_DOCUMENTS = (
    Path(__file__).resolve().parents[1] / "fuzz" / "corpus" / "documents" / "chunk_size.damaged"
)
DOCUMENT_TOKENS = 600
SEARCH = ("search", "search.toml")

SYNTHETIC = synthetic_search(iterations=1)
MODEL = {
    **{name: keys for name, keys in SYNTHETIC.items() if name != "evaluator.synthetic"},
    "evaluator": {"backend": "cpu"},
    "model": {"path": "model"},
    "documents": {"path": "documents.h5", "search": 1, "validation": 1, "heldout": 1},
    "stage": {**SYNTHETIC["stage"], "target_tokens": 512},
}


def nothing(_: Path) -> None:
    """Leaves a folder as it is."""


def write_documents(path: Path) -> None:
    """A documents file with one document of 600 tokens in each split."""
    tokens = numpy.arange(3 * DOCUMENT_TOKENS, dtype="<i4") % 2000 + 1
    with h5py.File(path, "w", libver=("earliest", "v108")) as file:
        file["tokens"] = tokens
        file["offsets"] = numpy.arange(4, dtype="<i8") * DOCUMENT_TOKENS
        file["titles"] = numpy.array([b"first 1/1", b"second 1/1", b"third 1/1"], dtype="S10")
        file["split"] = numpy.array([0, 1, 2], dtype="u1")
        file.attrs["format_version"] = numpy.int32(1)
        file.attrs["bos_token_id"] = numpy.int32(0)
        for name in ("tokenizer_sha256", "text_sha256"):
            file.attrs[name] = numpy.bytes_("0" * 64)


def edit(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """Rewrites a file of the folder."""

    def rewrite(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return rewrite


def replaced(old: str, new: str) -> Callable[[Path], None]:
    """Rewrites the configuration, in which `old` must occur."""

    def change(text: bytes) -> bytes:
        if old.encode() not in text:
            raise AssertionError(f"{old!r} does not occur in the configuration")
        return text.replace(old.encode(), new.encode(), 1)

    return edit("search.toml", change)


def truncated(name: str, share: float) -> Callable[[Path], None]:
    return edit(name, lambda content: content[: int(share * len(content))])


def flipped(name: str, pattern: bytes) -> Callable[[Path], None]:
    """Flips one bit of the first occurrence of `pattern`."""

    def change(content: bytes) -> bytes:
        at = content.index(pattern)
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return edit(name, change)


def removed(name: str) -> Callable[[Path], None]:
    def remove(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def newer_history(folder: Path) -> None:
    with h5py.File(folder / "run" / "search.h5", "r+") as file:
        file.attrs["format_version"] = numpy.uint32(1000)


def flipped_score(folder: Path) -> None:
    """Changes one bit of a stored score, in a file that HDF5 finds in order."""
    with h5py.File(folder / "run" / "search.h5", "r+") as file:
        scores = file["stages/long/document_nll"]
        bits = scores[:].view("<u8")
        bits[3, 0] ^= 1
        scores[:] = bits.view("<f8")


def foreign_history(folder: Path) -> None:
    """An HDF5 file in place of the history, but one of documents."""
    write_documents(folder / "run" / "search.h5")


def wrong_offsets(folder: Path) -> None:
    with h5py.File(folder / "documents.h5", "r+") as file:
        file["offsets"][2] = 10**15


@dataclass(frozen=True)
class Case:
    """What is wrong, what is typed, and what must be answered."""

    wrong: str
    status: int
    told: tuple[str, ...]  # on stderr
    spoil: Callable[[Path], None] = nothing
    words: tuple[str, ...] = SEARCH


USAGE = [
    Case("no verb", EXIT_USAGE, ("usage: longrope VERB",), words=()),
    Case("an unknown verb", EXIT_USAGE, ('"serch"', "search, evaluate"), words=("serch",)),
    Case("an unknown flag", EXIT_USAGE, ("itertions",), words=(*SEARCH, "--itertions=3")),
    Case("a flag without its value", EXIT_USAGE, ("iterations",), words=(*SEARCH, "--iterations")),
    Case("no configuration file", EXIT_USAGE, ("CONFIG", "found none"), words=("search",)),
    Case("two configuration files", EXIT_USAGE, ("found 2",), words=(*SEARCH, "more.toml")),
    Case("--json without --check", EXIT_USAGE, ("--check",), words=(*SEARCH, "--json")),
    Case("--ranks without --check", EXIT_USAGE, ("--check",), words=(*SEARCH, "--ranks", "2")),
    Case("no ranks", EXIT_USAGE, ("from 1",), words=(*SEARCH, "--check", "--ranks", "0")),
    Case("-1 ranks", EXIT_USAGE, ("--ranks -1",), words=(*SEARCH, "--check", "--ranks=-1")),
    Case(
        "an unknown --progress",
        EXIT_USAGE,
        ("auto, bar or lines",),
        words=(*SEARCH, "--progress", "dots"),
    ),
    Case("evaluate without a model", EXIT_USAGE, ("--model",), words=("evaluate",)),
    Case("status without a directory", EXIT_USAGE, ("DIRECTORY",), words=("status",)),
    Case("devices with a word", EXIT_USAGE, ('"all"',), words=("devices", "all")),
]

CONFIGURATION = [
    Case(
        "a configuration file that is missing",
        EXIT_CONFIGURATION,
        ("none.toml",),
        words=("search", "none.toml"),
    ),
    Case(
        "a folder in place of the configuration file",
        EXIT_CONFIGURATION,
        ("run.toml",),
        lambda folder: (folder / "run.toml").mkdir(),
        ("search", "run.toml"),
    ),
    Case(
        "a syntax error", EXIT_CONFIGURATION, ("search.toml:",), replaced("seed = 7", "seed = = 7")
    ),
    Case(
        "an unknown key",
        EXIT_CONFIGURATION,
        ("search.toml:", "stage.iteration", "did you mean stage.iterations?"),
        replaced("iterations =", "iteration ="),
    ),
    Case(
        "an unknown table",
        EXIT_CONFIGURATION,
        ("search.toml:", "runs"),
        replaced("[run]", "[runs]"),
    ),
    Case(
        "a value of another type",
        EXIT_CONFIGURATION,
        ("run.seed",),
        replaced("seed = 7", 'seed = "seven"'),
    ),
    Case(
        "a value out of range",
        EXIT_CONFIGURATION,
        ("stage.population", "found 1,"),
        replaced("population = 16", "population = 1"),
    ),
    Case(
        "more parents than the population",
        EXIT_CONFIGURATION,
        ("parents", "16"),
        replaced("parents = 8", "parents = 17"),
    ),
    Case(
        "a flag out of range",
        EXIT_CONFIGURATION,
        ("--iterations", "-1"),
        words=(*SEARCH, "--iterations=-1"),
    ),
    Case(
        "a backend that does not exist",
        EXIT_CONFIGURATION,
        ("--backend", "synthetic"),
        words=(*SEARCH, "--backend", "synthetik"),
    ),
    Case(
        "a target that is the original window",
        EXIT_CONFIGURATION,
        ("target_tokens = 256", "original window of 256"),
        replaced("target_tokens = 2048", "target_tokens = 256"),
    ),
    Case(
        "more documents than there are",
        EXIT_CONFIGURATION,
        ("documents.search",),
        replaced("search = 2", "search = 9"),
    ),
    Case(
        "no stage",
        EXIT_CONFIGURATION,
        ("stage",),
        edit("search.toml", lambda text: text[: text.index(b"[[stage]]")]),
    ),
]

MODEL_FILES = [
    Case(
        "a model folder that is missing", EXIT_BAD_FILE, ("model", "config.json"), removed("model")
    ),
    Case(
        "a model without weights",
        EXIT_BAD_FILE,
        ("model", "safetensors"),
        removed("model/model.safetensors"),
    ),
    Case(
        "weights that are cut off",
        EXIT_BAD_FILE,
        ("model.safetensors",),
        truncated("model/model.safetensors", 0.9),
    ),
    Case(
        "weights that are cut off in their header",
        EXIT_BAD_FILE,
        ("model.safetensors",),
        truncated("model/model.safetensors", 0.0001),
    ),
    Case(
        "weights whose header is longer than the file",
        EXIT_BAD_FILE,
        ("model.safetensors",),
        edit("model/model.safetensors", lambda content: b"\xff" * 7 + b"\x7f" + content[8:]),
    ),
    Case(
        "weights of another size than config.json says",
        EXIT_BAD_FILE,
        ("config.json",),
        edit(
            "model/config.json",
            lambda text: text.replace(b'"hidden_size": 128', b'"hidden_size": 256'),
        ),
    ),
    Case(
        "a config.json that is no JSON",
        EXIT_BAD_FILE,
        ("config.json",),
        truncated("model/config.json", 0.5),
    ),
    Case(
        "an architecture that is not known",
        EXIT_BAD_FILE,
        ("MambaForCausalLM",),
        edit("model/config.json", lambda text: text.replace(b"Llama", b"Mamba", 1)),
    ),
    Case(
        "a documents file that is missing",
        EXIT_BAD_FILE,
        ("documents.h5",),
        removed("documents.h5"),
    ),
    Case(
        "a documents file that is cut off",
        EXIT_BAD_FILE,
        ("documents.h5",),
        truncated("documents.h5", 0.5),
    ),
    Case(
        "a documents file that is text",
        EXIT_BAD_FILE,
        ("documents.h5",),
        edit("documents.h5", lambda _: b"It was the best of times"),
    ),
    Case(
        "a documents file that HDF5 crashes on",
        EXIT_BAD_FILE,
        ("documents.h5", "damaged: HDF5 crashes", "tokenize_documents.py"),
        lambda folder: shutil.copy(CRASHING_DOCUMENTS, folder / "documents.h5"),
    ),
    Case("offsets beyond the tokens", EXIT_BAD_FILE, ("documents.h5", "offsets"), wrong_offsets),
    Case(
        "a document shorter than the target",
        EXIT_CONFIGURATION,
        ("first 1/1", "1024", "601"),
        replaced("target_tokens = 512", "target_tokens = 1024"),
    ),
]

# Every one is given a run directory with a complete history.
HISTORY = [
    Case(
        "a history that is cut off",
        EXIT_BAD_FILE,
        ("run/search.h5",),
        truncated("run/search.h5", 0.7),
    ),
    Case("an empty history", EXIT_BAD_FILE, ("run/search.h5",), truncated("run/search.h5", 0)),
    Case(
        "a history that is text",
        EXIT_BAD_FILE,
        ("run/search.h5",),
        edit("run/search.h5", lambda _: b"It was the worst of times"),
    ),
    Case(
        "an HDF5 file of another kind",
        EXIT_BAD_FILE,
        ("run/search.h5", "longrope-history"),
        foreign_history,
    ),
    Case(
        "a history of a newer program",
        EXIT_BAD_FILE,
        ("run/search.h5", "1000", "newer"),
        newer_history,
    ),
    Case(
        "a history with a bit of a score flipped",
        EXIT_BAD_FILE,
        ("run/search.h5", "digest"),
        flipped_score,
    ),
    Case(
        "a history with a bit of its structure flipped",
        EXIT_BAD_FILE,
        ("run/search.h5",),
        flipped("run/search.h5", b"OHDR"),
    ),
    Case(
        "another seed",
        EXIT_BAD_FILE,
        ("run.seed: the history has 7, this configuration 8",),
        words=(*SEARCH, "--seed", "8"),
    ),
    Case(
        "another population",
        EXIT_BAD_FILE,
        ("stage.long.population: the history has 16, this configuration 20",),
        replaced("population = 16", "population = 20"),
    ),
    Case(
        "other documents",
        EXIT_BAD_FILE,
        ("evaluator.synthetic.documents", "documents digest"),
        replaced("dimensions = 16\ndocuments = 8", "dimensions = 16\ndocuments = 9"),
    ),
    Case(
        "fewer iterations",
        EXIT_BAD_FILE,
        ("raised, not lowered",),
        words=(*SEARCH, "--iterations", "0"),
    ),
]

STATUS = [
    Case(
        "status of a folder that is missing",
        EXIT_BAD_FILE,
        ("none", "search.h5"),
        words=("status", "none"),
    ),
    Case(
        "status of a history that is cut off",
        EXIT_BAD_FILE,
        ("run/search.h5",),
        truncated("run/search.h5", 0.7),
        ("status", "run"),
    ),
    Case(
        "status --json of a history with a bit flipped",
        EXIT_BAD_FILE,
        ("digest",),
        flipped_score,
        ("status", "run", "--json"),
    ),
]
