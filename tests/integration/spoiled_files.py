# SPDX-License-Identifier: Apache-2.0
"""Ways to spoil the files of a search: each takes the folder they lie in and changes them there.

Usage, in a test:
    spoil = truncated("model/model.safetensors", 0.9)
    spoil(folder)
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy
from search_run import DEMO_MODEL

DOCUMENT_TOKENS = 600

Spoil = Callable[[Path], None]


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
        tokenizer = hashlib.sha256((DEMO_MODEL / "tokenizer.json").read_bytes()).hexdigest()
        file.attrs["tokenizer_sha256"] = numpy.bytes_(tokenizer)
        file.attrs["text_sha256"] = numpy.bytes_("0" * 64)


# --- any file ---


def all_of(*spoils: Spoil) -> Spoil:
    def spoil(folder: Path) -> None:
        for each in spoils:
            each(folder)

    return spoil


def edit(name: str, change: Callable[[bytes], bytes]) -> Spoil:
    """Rewrites a file of the folder."""

    def rewrite(folder: Path) -> None:
        path = folder / name
        path.write_bytes(change(path.read_bytes()))

    return rewrite


def content(name: str, data: bytes) -> Spoil:
    """Makes a file, or replaces what is in it."""
    return lambda folder: (folder / name).write_bytes(data)


def truncated(name: str, share: float) -> Spoil:
    return edit(name, lambda data: data[: int(share * len(data))])


def flipped(name: str, pattern: bytes) -> Spoil:
    """Flips one bit of the first occurrence of `pattern`."""

    def change(data: bytes) -> bytes:
        at = data.index(pattern)
        return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    return edit(name, change)


def removed(name: str) -> Spoil:
    def remove(folder: Path) -> None:
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    return remove


def folder_instead(name: str) -> Spoil:
    """A folder of this name, in place of the file if there is one."""

    def replace(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        (folder / name).mkdir(parents=True)

    return replace


def pipe_instead(name: str) -> Spoil:
    """A pipe that nobody writes to: who opens it to read waits for ever."""

    def replace(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return replace


def link_to_nothing(name: str, target: str) -> Spoil:
    def link(folder: Path) -> None:
        (folder / name).symlink_to(target)

    return link


def link_to_itself(name: str) -> Spoil:
    """A link that leads to itself: a file that nobody can read, root neither."""

    def replace(folder: Path) -> None:
        path = folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(path.name)

    return replace


# --- the configuration ---


def replaced(old: str, new: str) -> Spoil:
    """Rewrites the configuration, in which `old` must occur."""

    def change(text: bytes) -> bytes:
        if old.encode() not in text:
            raise AssertionError(f"{old!r} does not occur in the configuration")
        return text.replace(old.encode(), new.encode(), 1)

    return edit("search.toml", change)


def stage_key(line: str) -> Spoil:
    """Adds a key to the stage, which is the last table."""
    return edit("search.toml", lambda text: text + line.encode() + b"\n")


def longer_stage(folder: Path) -> None:
    """A second stage, named "longer", with twice the target."""
    path = folder / "search.toml"
    text = path.read_text()
    stage = text[text.index("[[stage]]") :].replace('"long"', '"longer"')
    target = next(line for line in stage.splitlines() if line.startswith("target_tokens"))
    doubled = f"target_tokens = {2 * int(target.split('=')[1])}"
    path.write_text(f"{text}\n{stage.replace(target, doubled)}")


def second_stage(folder: Path) -> None:
    """The stage once more."""
    path = folder / "search.toml"
    text = path.read_text()
    path.write_text(text + text[text.index("[[stage]]") :])


def next_stage(*lines: str, target_tokens: int = 4096) -> Spoil:
    """Adds a stage "next" after the only one."""
    head = ["[[stage]]", 'name = "next"', f"target_tokens = {target_tokens}"]
    return stage_key("\n".join([*head, *lines]))


# --- the model ---


def config_json(**changes: Any) -> Spoil:
    """Changes keys of config.json; None takes a key away."""

    def change(text: bytes) -> bytes:
        keys = {**json.loads(text), **changes}
        return json.dumps({k: v for k, v in keys.items() if v is not None}).encode()

    return edit("model/config.json", change)


def join_safetensors(header: bytes, data: bytes) -> bytes:
    return len(header).to_bytes(8, "little") + header + data


def split_safetensors(file: bytes) -> tuple[bytes, bytes]:
    """Header and data."""
    length = int.from_bytes(file[:8], "little")
    return file[8 : 8 + length], file[8 + length :]


def tensor_header(change: Callable[[dict[str, Any]], None]) -> Spoil:
    """Changes the header of model.safetensors."""

    def rewrite(file: bytes) -> bytes:
        text, data = split_safetensors(file)
        header = json.loads(text)
        change(header)
        return join_safetensors(json.dumps(header).encode(), data)

    return edit("model/model.safetensors", rewrite)


def tensor_entry(name: str, **changes: Any) -> Spoil:
    """Changes what the header says of one tensor."""
    return tensor_header(lambda header: header[name].update(changes))


def overlapping(name: str) -> Spoil:
    """Moves a tensor four bytes into the one before it."""

    def move(header: dict[str, Any]) -> None:
        header[name]["data_offsets"] = [at - 4 for at in header[name]["data_offsets"]]

    return tensor_header(move)


def tensor_named_twice(name: str) -> Spoil:
    """A second entry of one tensor, whose bytes are those of another."""

    def rewrite(file: bytes) -> bytes:
        text, data = split_safetensors(file)
        header = json.loads(text)
        again = json.dumps({name: {**header[name], "data_offsets": [0, 256]}})
        return join_safetensors(text.rstrip()[:-1] + b"," + again.encode()[1:], data)

    return edit("model/model.safetensors", rewrite)


def further_tensor(name: str, like: str) -> Spoil:
    """One more tensor, zeros in the shape of another."""

    def rewrite(file: bytes) -> bytes:
        text, data = split_safetensors(file)
        header = json.loads(text)
        begin, end = header[like]["data_offsets"]
        header[name] = {**header[like], "data_offsets": [len(data), len(data) + end - begin]}
        return join_safetensors(json.dumps(header).encode(), data + bytes(end - begin))

    return edit("model/model.safetensors", rewrite)


def not_numbers(name: str) -> Spoil:
    """Fills a tensor with NaN."""

    def rewrite(file: bytes) -> bytes:
        text, data = split_safetensors(file)
        begin, end = json.loads(text)[name]["data_offsets"]
        return join_safetensors(text, data[:begin] + b"\xff" * (end - begin) + data[end:])

    return edit("model/model.safetensors", rewrite)


def shard_index(weight_map: dict[str, str], text: bytes | None = None) -> Spoil:
    """A sharded model: the file becomes the shard part.safetensors, with an index beside it."""

    def shard(folder: Path) -> None:
        model = folder / "model"
        (model / "model.safetensors").rename(model / "part.safetensors")
        index = json.dumps({"weight_map": weight_map}).encode() if text is None else text
        (model / "model.safetensors.index.json").write_bytes(index)

    return shard


# --- documents and histories ---


def hdf5(name: str, change: Callable[[h5py.File], Any]) -> Spoil:
    def spoil(folder: Path) -> None:
        with h5py.File(folder / name, "r+") as file:
            change(file)

    return spoil


def documents(change: Callable[[h5py.File], Any]) -> Spoil:
    return hdf5("documents.h5", change)


def values(dataset: str, new: Any) -> Spoil:
    """Another dataset in the place of one of the documents file."""

    def replace(file: h5py.File) -> None:
        del file[dataset]
        file[dataset] = new

    return documents(replace)


def value(dataset: str, at: int, new: int) -> Spoil:
    return documents(lambda file: file[dataset].__setitem__(at, new))


def attribute(name: str, new: Any) -> Spoil:
    return documents(lambda file: file.attrs.__setitem__(name, new))


def flipped_token(folder: Path) -> None:
    """Changes one bit of a token, in a file that knows the digest of its tokens."""
    with h5py.File(folder / "documents.h5", "r+") as file:
        digest = hashlib.sha256(file["tokens"][:].tobytes()).hexdigest()
        file.attrs["tokens_sha256"] = numpy.bytes_(digest)
        file["tokens"][700] ^= 1


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
