# SPDX-License-Identifier: Apache-2.0
"""Where a fine-tuning takes its rescale factors and attention scale from.

Usage: not a program; scripts/finetune.py reads it.

Of a search: the result of a stage in its history (coordinator/history_format.md). For comparison:
YaRN, none, or a CSV file with a factor a line, under the attention scale of the stage or of a rule.
"""

from __future__ import annotations

import json
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from record_parity_fixtures import su_scale, yarn_factors

HISTORY_FORMAT = "longrope-history"
NEWEST_VERSION = 9  # of the history; what is read here has not changed since the first
RULES = ("su", "yarn", "none")


class FactorsError(Exception):
    """Something the user can act on: what was read, what was found, what would be accepted."""


class NotSearchedError(FactorsError):
    """A result that is not there, or not yet."""


@dataclass(frozen=True)
class RotaryFacts:
    """What a model's config.json says of its positions, before any scaling."""

    theta: float
    rotary_dim: int
    window: int

    @property
    def pairs(self) -> int:
        return self.rotary_dim // 2


@dataclass(frozen=True)
class Rescaling:
    """How positions are encoded: pair i turns by n / (factors[i] * theta^(2i/d))."""

    source: str  # where it comes from, for people
    factors: np.ndarray  # float64 [rotary pairs]
    attention_scale: float  # multiplies cosine and sine
    start_tokens: int  # positions below keep the unscaled angle
    target_tokens: int
    window: int | None = None  # L that it was searched for, where that is known

    def identity(self) -> dict[str, Any]:
        """What must stay the same while a run is resumed."""
        return {
            "factors": [float(factor) for factor in self.factors],
            "attention_scale": self.attention_scale,
            "start_tokens": self.start_tokens,
            "target_tokens": self.target_tokens,
        }


# --- The model ----------------------------------------------------------------------------------


def read_facts(folder: Path) -> RotaryFacts:
    """As longrope reads them; a scaling that the folder asks for is replaced, as in a search.

    Raises FactorsError if config.json cannot be read.
    """
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise FactorsError(
            f"cannot read {file}: {error.strerror}. A Hugging Face folder is expected"
        ) from error
    except ValueError as error:
        raise FactorsError(f"cannot read {file}: it is no JSON: {error}") from error
    try:
        parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
        head_dim = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
        share = parameters.get("partial_rotary_factor", config.get("partial_rotary_factor", 1.0))
        theta = float(parameters.get("rope_theta", config.get("rope_theta", 10000.0)))
        original = "original_max_position_embeddings"
        sliding = config.get("sliding_window") if _slides(config) else None
        window = config.get(original) or parameters.get(original) or sliding
        window = int(window or config["max_position_embeddings"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise FactorsError(
            f"{file}: the positions are not described as expected: {error!r}"
        ) from error
    return RotaryFacts(theta, int(head_dim * share), window)


def _slides(config: dict[str, Any]) -> bool:
    """Whether `sliding_window` counts: Qwen's have the key, and a switch that is off."""
    if str(config.get("model_type", "")).startswith("qwen"):
        return bool(config.get("use_sliding_window", False))
    return True


# --- Histories ----------------------------------------------------------------------------------


def read_stage(history: Path, stage: str, facts: RotaryFacts) -> Rescaling:
    """The result of a complete stage, whose window may be another than the model's
    (model.original_window).

    Raises FactorsError if the history cannot be read or the stage was searched for a model with
    other positions, NotSearchedError if one of them is not there or the stage is not complete.
    """
    import h5py

    try:
        with h5py.File(history, "r") as file:
            found = _text(file.attrs.get("format", b""))
            version = int(file.attrs.get("format_version", 0))
            if found != HISTORY_FORMAT or not 1 <= version <= NEWEST_VERSION:
                raise FactorsError(
                    f"{history} is no history that this program reads: format '{found}', version "
                    f"{version}; expected '{HISTORY_FORMAT}', version 1 to {NEWEST_VERSION}"
                )
            stages = file["stages"]
            if stage not in stages:
                raise NotSearchedError(
                    f"{history} has no stage '{stage}'; it has {', '.join(stages) or 'none'}"
                )
            return _result(history, stage, stages[stage], facts, _given_window(file))
    except OSError as error:
        if not history.exists():
            raise NotSearchedError(
                f"cannot read the history {history}: there is no such file"
            ) from error
        raise FactorsError(f"cannot read the history {history}: {error}") from error
    except (KeyError, ValueError) as error:
        raise FactorsError(f"{history} is damaged or no history: {error}") from error


def _given_window(file) -> bool:
    """Whether the search was told another window than the model's (model.original_window)."""
    configuration = tomllib.loads(_text(file.attrs.get("configuration", b"")))
    return bool(configuration.get("model", {}).get("original_window", 0))


def _result(history: Path, name: str, stage, facts: RotaryFacts, given_window: bool) -> Rescaling:
    best = stage["best"]
    individual = int(best.attrs["individual"])
    if not stage.attrs["complete"] or individual < 0:
        raise NotSearchedError(
            f"stage '{name}' of {history} is not complete: run its search to the end first"
        )
    factors = best["factors"][:].astype(np.float64)
    window = ("original window", float(stage.attrs["original_window"]), facts.window)
    for what, theirs, ours in (
        ("rotary pairs", len(factors), facts.pairs),
        ("theta", float(stage.attrs["theta"]), facts.theta),
        *([] if given_window else [window]),
    ):
        if theirs != ours:
            raise FactorsError(
                f"stage '{name}' of {history} was searched for a model with {what} {theirs:g}, "
                f"this model has {ours:g}"
            )
    return Rescaling(
        f"stage {name} of {history}, individual {individual}",
        factors,
        float(best.attrs["attention_scale"]),
        int(best.attrs["start_tokens"]),
        round(float(stage.attrs["target_tokens"])),
        round(float(stage.attrs["original_window"])),
    )


def _text(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


# --- For comparison -----------------------------------------------------------------------------


def attention_scale(rule: str, window: int, target_tokens: int) -> float:
    """m of a rule (su, yarn, none) or of a number; 1 where nothing is stretched, as longrope."""
    if rule not in RULES:
        try:
            value = float(rule)
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and value > 0):
            raise FactorsError(
                f"attention scale '{rule}': use {', '.join(RULES)} or a positive number"
            )
        return value
    if rule == "none" or target_tokens <= window:
        return 1.0
    scale = target_tokens / window
    return su_scale(window, scale) if rule == "su" else 0.1 * math.log(scale) + 1


def named_rescaling(
    source: str, facts: RotaryFacts, target_tokens: int, rule: str, start_tokens: int = 0
) -> Rescaling:
    """`source` is "none", "yarn" or the path of a CSV file."""
    scale = max(1.0, target_tokens / facts.window)
    if source == "none":
        factors = np.ones(facts.pairs)
    elif source == "yarn":
        factors = yarn_factors(facts.theta, facts.rotary_dim, facts.window, scale)
    else:
        factors = read_csv(Path(source), facts.pairs)
    m = attention_scale(rule, facts.window, target_tokens)
    return Rescaling(source, factors, m, start_tokens, target_tokens, facts.window)


def read_csv(file: Path, pairs: int) -> np.ndarray:
    """A factor a line, or with commas between; empty lines and what follows a # do not count."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise FactorsError(
            f"cannot read the factors {file}: {reason}. A CSV file with a factor a line, yarn or "
            "none is expected"
        ) from error
    factors: list[float] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip().rstrip(",")
        for word in text.split(",") if text else []:
            try:
                factor = float(word)
            except ValueError:
                factor = math.nan
            if not (math.isfinite(factor) and factor > 0):
                raise FactorsError(f"{file}:{number}: '{word.strip()}' is no positive number")
            factors.append(factor)
    if len(factors) != pairs:
        raise FactorsError(f"{file} has {len(factors)} factors; the model has {pairs} rotary pairs")
    return np.array(factors)
