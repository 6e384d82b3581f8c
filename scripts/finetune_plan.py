# SPDX-License-Identifier: Apache-2.0
"""What a fine-tuning will do: settings, factors, documents and base model, read and checked.

Usage: not a program; scripts/finetune.py reads it.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import importlib.util
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import finetune_state as state
from finetune_settings import Settings, SettingsError, read_settings
from rescale_factors import (
    NotSearchedError,
    Rescaling,
    RotaryFacts,
    named_rescaling,
    read_facts,
    read_stage,
)
from tokenize_documents import DocumentsError
from training_documents import Segments, TrainingTokens


@dataclass(frozen=True)
class Plan:
    """All that decides the result, read and checked."""

    base: Path
    output: Path
    settings: Settings
    facts: RotaryFacts
    rescaling: Rescaling
    tokens: TrainingTokens
    segments: Segments
    segment_tokens: int
    vocabulary: int
    identity: dict[str, Any]


@dataclass(frozen=True)
class Inputs:
    """What is read beside the factors, and checked."""

    model: Path
    config: dict[str, Any]
    facts: RotaryFacts
    settings: Settings
    tokens: TrainingTokens

    def segments(self, length: int) -> Segments:
        eos = self.config.get("eos_token_id")
        eos = eos[0] if isinstance(eos, list) else eos
        return Segments(self.tokens, length, eos, self.settings.seed)

    def identity(self) -> dict[str, Any]:
        return {
            "settings": self.settings.identity(),
            "documents_tokens_sha256": self.tokens.digest,
        }


def processes_of_job() -> int:
    """How many torchrun started; one without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def read_inputs(arguments: argparse.Namespace, model: Path) -> Inputs:
    settings = read_settings(arguments.config, arguments.set)
    settings.accumulation(arguments.processes or processes_of_job())
    facts = read_facts(model)
    file = arguments.documents or (Path(settings.documents) if settings.documents else None)
    if file is None:
        raise SettingsError(
            f"no training documents: give --documents, or training.documents in {arguments.config}"
        )
    tokens = TrainingTokens(file)
    config = state.read_record(model / "config.json")
    check_tokenizer(model, tokens)
    return Inputs(model, config, facts, settings, tokens)


def make_plan(arguments: argparse.Namespace) -> Plan:
    inputs = read_inputs(arguments, arguments.model)
    settings = inputs.settings
    rescaling = find_rescaling(arguments, inputs.facts)
    segment_tokens = settings.segment_tokens or rescaling.target_tokens
    return Plan(
        arguments.model,
        arguments.output,
        settings,
        inputs.facts,
        rescaling,
        inputs.tokens,
        inputs.segments(segment_tokens),
        segment_tokens,
        vocabulary_of(arguments.model, inputs.config),
        inputs.identity()
        | {
            "rescaling": rescaling.identity(),
            "base_digest": state.model_digest(arguments.model),
        },
    )


def check_ahead(arguments: argparse.Namespace) -> str:
    """What is known before the jobs that come first: all but the factors of a stage that is not
    complete, and the weights of a model that is still to be made from arguments.ahead.

    Raises what make_plan raises.
    """
    made = any(arguments.model.glob("*.safetensors"))
    inputs = read_inputs(arguments, arguments.model if made else arguments.ahead)
    vocabulary_of(inputs.model, inputs.config)
    identity, segment_tokens = inputs.identity(), inputs.settings.segment_tokens
    if made:
        identity["base_digest"] = state.model_digest(arguments.model)
    with contextlib.suppress(NotSearchedError):
        rescaling = find_rescaling(arguments, inputs.facts)
        identity["rescaling"] = rescaling.identity()
        segment_tokens = segment_tokens or rescaling.target_tokens
    if segment_tokens:
        inputs.segments(segment_tokens)
    return earlier_start(arguments.output, identity, part=True) or "new"


def missing_packages() -> list[str]:
    """Of those that compute, the ones that this Python does not find."""
    return [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]


def vocabulary_of(model: Path, config: dict[str, Any]) -> int:
    size = config.get("vocab_size")
    if not isinstance(size, int):
        raise SettingsError(f"{model / 'config.json'}: vocab_size is {size!r}, expected a number")
    return size


def find_rescaling(arguments: argparse.Namespace, facts: RotaryFacts) -> Rescaling:
    stage = None
    if arguments.history:
        if not arguments.stage:
            raise SettingsError("--history needs --stage: whose factors are to be taken?")
        stage = read_stage(arguments.history, arguments.stage, facts)
    if arguments.factors is None:
        for flag in ("target_tokens", "attention_scale", "start_tokens"):
            if getattr(arguments, flag):
                raise SettingsError(f"--{flag.replace('_', '-')} goes with --factors")
        if stage is None:
            raise SettingsError("no factors: give --history and --stage, or --factors")
        return stage
    target = arguments.target_tokens or (stage.target_tokens if stage else None)
    if target is None:
        raise SettingsError("--factors needs --target-tokens, or the --stage of a --history")
    rule = arguments.attention_scale
    if rule is None and stage is not None and target == stage.target_tokens:
        rule = repr(stage.attention_scale)
    if stage is not None and stage.window is not None:
        facts = replace(facts, window=stage.window)
    return named_rescaling(arguments.factors, facts, target, rule or "su", arguments.start_tokens)


def check_tokenizer(model: Path, tokens: TrainingTokens) -> None:
    file = model / "tokenizer.json"
    if file.is_file() and hashlib.sha256(file.read_bytes()).hexdigest() != tokens.tokenizer_sha256:
        raise DocumentsError(
            f"{tokens.file} was made with another tokenizer than {file}: make it again with that"
        )


def describe(plan: Plan) -> str:
    settings, rescaling = plan.settings, plan.rescaling
    epochs = settings.steps * settings.batch / plan.segments.per_epoch
    factors = ", ".join(f"{factor:.3f}" for factor in rescaling.factors)
    return (
        f"base:      {plan.base}, window {rescaling.window or plan.facts.window}, theta "
        f"{plan.facts.theta:g}\n"
        f"factors:   {rescaling.source}: {factors}\n"
        f"           start tokens {rescaling.start_tokens}, attention scale "
        f"{rescaling.attention_scale:.6f}, target {rescaling.target_tokens} tokens\n"
        f"documents: {plan.tokens.file}, {plan.tokens.documents} texts, {len(plan.tokens)} tokens\n"
        f"training:  {settings.steps} steps x {settings.batch} segments x {plan.segment_tokens} "
        f"tokens, {epochs:.2f} epochs; learning rate {settings.learning_rate:g}, "
        f"{settings.schedule}, {settings.precision}\n"
        f"output:    {plan.output}"
    )


def earlier_start(output: Path, identity: dict[str, Any], part: bool = False) -> str:
    """What an earlier start has left, which must be of the same run: "complete", "begun" or "".

    Raises StateError if it is of another.

    @param part  whether `identity` is but a part of it
    """
    if output.exists():
        file, left = output / "fine_tuning.json", "complete"
        if not file.is_file():
            raise state.StateError(
                f"{output} exists and was not written by this program: give another --output"
            )
        before = state.read_record(file).get("identity", {})
        advice = f"Give another --output, or remove {output}."
    else:
        folder = state.training_folder(output)
        file, left = folder / "identity.json", "begun"
        if not file.is_file():
            return ""
        before = state.read_record(file)
        advice = f"Use the same as before, or another --output, or remove {folder}."
    if part:
        before = {key: value for key, value in before.items() if key in identity}
    state.refuse_other(file, before, identity, advice)
    return left


def prepare_folders(plan: Plan) -> bool:
    """Whether there is something to do.

    Raises StateError if what an earlier start left is of another run.
    """
    folder = state.training_folder(plan.output)
    left = earlier_start(plan.output, plan.identity)
    if left == "complete":
        state.remove(folder)  # of a start that ended between the two
        return False
    if not left and os.environ.get("RANK", "0") == "0":
        folder.mkdir(parents=True, exist_ok=True)
        state.write_text(folder / "identity.json", json.dumps(plan.identity, indent=2) + "\n")
    return True
