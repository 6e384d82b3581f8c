# SPDX-License-Identifier: Apache-2.0
"""What a fine-tuning keeps on disk while it runs: its identity, the loss curve, checkpoints.

Usage: not a program; scripts/finetune.py reads it.

All lies in `<output>.training`, so that the output folder itself is absent or complete:

  identity.json   settings, factors, base model and documents: what must not change between starts
  loss.csv        a row per step; those beyond the last checkpoint are cut off when a run goes on
  step-000020/    a checkpoint (torch.distributed.checkpoint); a name that begins with a dot is one
                  that was never finished
"""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import glob
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, TextIO

# What flock says where a file system has no locks: Lustre without the option flock, some NFS.
WITHOUT_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK}
SAMPLED_BYTES = 1 << 20  # of both ends of a weights file: enough to tell two checkpoints apart


class StateError(Exception):
    """Something the user can act on: what was found, what to do."""


@dataclass(frozen=True)
class LossRow:
    """A line of loss.csv. `loss` is in nats per token, before the step; `seconds` of wall time."""

    step: int
    tokens: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float


def training_folder(output: Path) -> Path:
    return output.with_name(f"{output.name}.training")


def lock(folder: Path) -> TextIO:
    """The lock of a training folder, held until it is closed, or the process ends.

    Where the file system has no locks it says so, and nothing is held. Raises StateError if another
    process has it.
    """
    file = (folder / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        file.close()
        raise StateError(f"{folder} is in use by another fine-tuning") from error
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            file.close()
            raise StateError(f"cannot lock {file.name}: {error.strerror}") from error
        print(
            f"finetune: note: {file.name} cannot be locked, as {file_system(folder)} has no flock: "
            f"see to it that no second fine-tuning into {folder} is started meanwhile",
            file=sys.stderr,
        )
    return file


def file_system(folder: Path) -> str:
    """Type and mount point of the file system that a folder is on, as in "lustre at /scratch"."""
    found = ("the file system", "/")
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mount, kind, *_ = line.split(" ")
            if folder.resolve().is_relative_to(mount) and len(mount) >= len(found[1]):
                found = (kind, mount)
    return f"{found[0]} at {found[1]}"


# --- Identity -----------------------------------------------------------------------------------


def model_digest(folder: Path) -> str:
    """Of config.json and the ends of the weights files.

    Raises StateError if the folder has no weights.
    """
    weights = sorted(folder.glob("*.safetensors"))
    if not weights:
        raise StateError(f"{folder} has no *.safetensors file: a Hugging Face folder is expected")
    digest = hashlib.sha256((folder / "config.json").read_bytes())
    for path in weights:
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(SAMPLED_BYTES))
            file.seek(max(0, size - SAMPLED_BYTES))
            digest.update(file.read(SAMPLED_BYTES))
    return digest.hexdigest()


def differences(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    """Lines "key was A, is now B", nested keys with dots."""
    lines = []
    for key in sorted({*before, *now}):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            lines += differences(old, new, f"{prefix}{key}.")
        elif old != new:
            lines.append(f"{prefix}{key} was {_shown(old)}, is now {_shown(new)}")
    return lines


def _shown(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def read_record(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StateError(f"cannot read {file}: {error}") from error


def refuse_other(file: Path, before: dict[str, Any], now: dict[str, Any], advice: str) -> None:
    """Raises StateError, naming each difference, if the identities are not the same."""
    lines = differences(before, now)
    if lines:
        raise StateError(
            f"{file} is of another fine-tuning:\n    " + "\n    ".join(lines) + f"\n{advice}"
        )


def write_text(file: Path, text: str) -> None:
    """Whole or not at all."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with temporary.open("w", encoding="utf-8") as written:
        written.write(text)
        written.flush()
        os.fsync(written.fileno())
    temporary.replace(file)


# --- Loss curve ---------------------------------------------------------------------------------


def read_losses(file: Path, steps: int | None = None) -> list[LossRow]:
    """The first `steps` rows, or all. What follows them may be torn, and is done again.

    Raises StateError if one of them is damaged.
    """
    types = {field.name: {"int": int, "float": float}[field.type] for field in fields(LossRow)}
    rows = []
    try:
        with file.open(newline="", encoding="utf-8") as opened:
            for line in itertools.islice(csv.DictReader(opened), steps):
                rows.append(LossRow(**{name: of(line[name]) for name, of in types.items()}))
    except FileNotFoundError:
        return []
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise StateError(f"cannot read {file}, line {len(rows) + 2}: {error}") from error
    return rows


def loss_line(row: LossRow) -> str:
    values = (getattr(row, field.name) for field in fields(LossRow))
    return ",".join(repr(value) for value in values) + "\n"


def loss_table(rows: list[LossRow]) -> str:
    header = ",".join(field.name for field in fields(LossRow)) + "\n"
    return header + "".join(map(loss_line, rows))


def make_durable(file: Path) -> None:
    with file.open("rb") as written:
        os.fsync(written.fileno())


# --- Checkpoints --------------------------------------------------------------------------------


def checkpoint_folder(folder: Path, step: int) -> Path:
    return folder / f"step-{step:06d}"


def last_checkpoint(folder: Path) -> int:
    """Steps done at the newest complete checkpoint; 0 if there is none."""
    names = (re.fullmatch(r"step-(\d+)", path.name) for path in folder.glob("step-*"))
    return max((int(name[1]) for name in names if name), default=0)


def publish_checkpoint(unfinished: Path, folder: Path, step: int) -> None:
    """Gives a written checkpoint its name and removes the older ones."""
    for file in unfinished.iterdir():
        make_durable(file)
    target = checkpoint_folder(folder, step)
    shutil.rmtree(target, ignore_errors=True)
    unfinished.replace(target)
    for path in [*folder.glob("step-*"), *folder.glob(".step-*")]:
        if path != target:
            shutil.rmtree(path, ignore_errors=True)


# --- The output folder --------------------------------------------------------------------------

WEIGHTS = {
    *(".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5"),
    *(".msgpack", ".npz", ".onnx", ".onnx_data", ".ot"),
}


def companions(base: Path) -> list[Path]:
    """The files of a model folder that belong to a tuned model too: all but its weights, their
    index, config.json and what is hidden."""
    return [
        file
        for file in sorted(base.iterdir())
        if file.is_file()
        and not WEIGHTS.intersection(suffix.lower() for suffix in file.suffixes)
        and not file.name.endswith(".index.json")
        and not file.name.startswith(".")
        and file.name != "config.json"
    ]


def unfinished(output: Path) -> Path:
    """Where this process writes the output folder before it gets its name."""
    return output.with_name(f".{output.name}.{os.getpid()}.tmp")


def remove_unfinished(output: Path) -> None:
    """What starts that were killed while they wrote the output folder have left."""
    for path in output.parent.glob(f".{glob.escape(output.name)}.*.tmp"):
        if re.fullmatch(rf"\.{re.escape(output.name)}\.\d+\.tmp", path.name):
            shutil.rmtree(path, ignore_errors=True)


def remove(folder: Path) -> None:
    """What is no longer needed once the output is complete."""
    shutil.rmtree(folder, ignore_errors=True)
