# SPDX-License-Identifier: Apache-2.0
"""The settings of a fine-tuning: a TOML file with a table [training], and --set KEY=VALUE over it.

Usage: not a program; scripts/finetune.py reads it.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class SettingsError(Exception):
    """Something the user can act on: where it stands, what was found, what would be accepted."""


@dataclass(frozen=True)
class Range:
    """What a setting may be: its bounds, or its choices."""

    lowest: float = -math.inf
    highest: float = math.inf
    choices: tuple[str, ...] = ()

    def accepts(self, value: Any) -> bool:
        return value in self.choices if self.choices else self.lowest <= value <= self.highest

    def __str__(self) -> str:
        return ", ".join(self.choices) if self.choices else f"[{self.lowest:g}, {self.highest:g}]"


def setting(default: Any, accepted: Range | None = None, identity: bool = True) -> Any:
    """@param identity  whether another value would make other weights of a resumed run"""
    return dataclasses.field(default=default, metadata={"accepted": accepted, "identity": identity})


@dataclass(frozen=True)
class Settings:
    """Units and meaning: docs/fine-tuning.md."""

    steps: int = setting(400, Range(1, 1e9))
    segment_tokens: int = setting(0, Range(0, 2**31))  # 0: the target of the factors
    batch: int = setting(32, Range(1, 1e6))  # segments of a step, over all processes
    micro_batch: int = setting(1, Range(1, 1e6))  # segments that a process computes at a time
    learning_rate: float = setting(2e-5, Range(0, 10))
    schedule: str = setting("linear", Range(choices=("linear", "constant")))
    warmup_steps: int = setting(0, Range(0, 1e9))
    beta1: float = setting(0.9, Range(0, 0.999999))
    beta2: float = setting(0.95, Range(0, 0.999999))
    weight_decay: float = setting(0.0, Range(0, 1))
    gradient_clip: float = setting(1.0, Range(0, 1e9))  # 0: none
    seed: int = setting(42, Range(0, 2**63 - 1))
    precision: str = setting("bf16", Range(choices=("bf16", "f32")))
    saved_precision: str = setting("base", Range(choices=("base", "bf16", "f16", "f32")))
    documents: str = setting("", identity=False)  # the file's digest is, wherever it lies
    gradient_checkpointing: bool = setting(True, identity=False)
    offload_activations: bool = setting(False, identity=False)
    loss_chunk_tokens: int = setting(2048, Range(1, 2**31), identity=False)
    checkpoint_steps: int = setting(20, Range(1, 1e9), identity=False)

    def identity(self) -> dict[str, Any]:
        """What must stay the same while a run is resumed."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["identity"]
        }

    def learning_rate_at(self, step: int) -> float:
        """Of step `step`, counted from 0: linear warm-up, then constant, or linear to 0 at the end.

        The last step still moves: the linear schedule reaches 0 one step after it.
        """
        if step < self.warmup_steps:
            return self.learning_rate * (step + 1) / (self.warmup_steps + 1)
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * (self.steps - step) / (self.steps - self.warmup_steps)

    def accumulation(self, processes: int) -> int:
        """Micro-batches of a step in each process.

        Raises SettingsError where the batch cannot be shared out evenly.
        """
        share = processes * self.micro_batch
        if self.batch % share != 0:
            raise SettingsError(
                f"training.batch = {self.batch} cannot be shared by {processes} processes that "
                f"compute training.micro_batch = {self.micro_batch} segments at a time: use a "
                f"multiple of {share}"
            )
        return self.batch // share


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}
TYPES: dict[str, type] = {name: type(field.default) for name, field in FIELDS.items()}


def read_settings(file: Path, overrides: Iterable[str] = ()) -> Settings:
    """@param overrides  words KEY=VALUE; the last of a key counts

    Raises SettingsError on what cannot be read, unknown keys, and values that are not accepted.
    """
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"cannot read the settings {file}: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"cannot read the settings {file}: it is no TOML: {error}") from error
    values: dict[str, Any] = {}
    for name, table in tables.items():
        if name != "training" or not isinstance(table, dict):
            raise SettingsError(f"{file}: '{name}' is unknown: a table [training] is expected")
    for key, value in tables.get("training", {}).items():
        values[key] = _checked(f"{file}: training.{key}", key, value)
    for word in overrides:
        key, separator, text = word.partition("=")
        if not separator:
            raise SettingsError(f"--set {word}: expected KEY=VALUE")
        values[key] = _checked(f"--set {key}", key, _parsed(key, text))
    settings = Settings(**values)
    if settings.warmup_steps >= settings.steps:
        raise SettingsError(
            f"training.warmup_steps = {settings.warmup_steps}, but training.steps = "
            f"{settings.steps}: use fewer"
        )
    if settings.offload_activations and not settings.gradient_checkpointing:
        raise SettingsError(
            "training.offload_activations = true needs training.gradient_checkpointing: what "
            "is offloaded is what that keeps"
        )
    return settings


def _parsed(key: str, text: str) -> Any:
    """A value of the command line: as in the file, but that texts need no quotation marks."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _checked(where: str, key: str, value: Any) -> Any:
    if key not in FIELDS:
        near = difflib.get_close_matches(key, FIELDS, n=1)
        hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(FIELDS)}"
        raise SettingsError(f"{where} is unknown{hint}")
    wanted = TYPES[key]
    if wanted is float and type(value) is int:
        value = float(value)
    if type(value) is not wanted:
        kind = {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}
        raise SettingsError(f"{where} = {value!r}: expected {kind[wanted]}")
    accepted = FIELDS[key].metadata["accepted"]
    if accepted is not None and not accepted.accepts(value):
        raise SettingsError(f"{where} = {value!r}: expected {accepted}")
    return value
