# SPDX-License-Identifier: Apache-2.0
"""What a fine-tuning will do: settings, factors, documents and base model, read and checked.

Usage: not a program; scripts/finetune.py reads it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import finetune_state as state
from finetune_settings import Settings, SettingsError, read_settings
from rescale_factors import Rescaling, RotaryFacts, named_rescaling, read_facts, read_stage
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


def make_plan(arguments: argparse.Namespace) -> Plan:
    settings = read_settings(arguments.config, arguments.set)
    facts = read_facts(arguments.model)
    rescaling = find_rescaling(arguments, facts)
    file = arguments.documents or (Path(settings.documents) if settings.documents else None)
    if file is None:
        raise SettingsError(
            f"no training documents: give --documents, or training.documents in {arguments.config}"
        )
    tokens = TrainingTokens(file)
    config = state.read_record(arguments.model / "config.json")
    check_tokenizer(arguments.model, tokens)
    segment_tokens = settings.segment_tokens or rescaling.target_tokens
    eos = config.get("eos_token_id")
    eos = eos[0] if isinstance(eos, list) else eos
    return Plan(
        arguments.model,
        arguments.output,
        settings,
        facts,
        rescaling,
        tokens,
        Segments(tokens, segment_tokens, eos, settings.seed),
        segment_tokens,
        vocabulary_of(arguments.model, config),
        {
            "settings": settings.identity(),
            "rescaling": rescaling.identity(),
            "base_digest": state.model_digest(arguments.model),
            "documents_tokens_sha256": tokens.digest,
        },
    )


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


def prepare_folders(plan: Plan) -> bool:
    """Whether there is something to do; what an earlier start left must be of the same run.

    Raises StateError if it is not.
    """
    folder = state.training_folder(plan.output)
    if plan.output.exists():
        record = plan.output / "fine_tuning.json"
        if not record.is_file():
            raise state.StateError(
                f"{plan.output} exists and was not written by this program: give another --output"
            )
        before = state.read_record(record).get("identity", {})
        advice = f"Give another --output, or remove {plan.output}."
        state.refuse_other(record, before, plan.identity, advice)
        state.remove(folder)  # of a start that ended between the two
        return False
    identity = folder / "identity.json"
    if identity.is_file():
        before = state.read_record(identity)
        advice = f"Use the same as before, or another --output, or remove {folder}."
        state.refuse_other(identity, before, plan.identity, advice)
    elif os.environ.get("RANK", "0") == "0":
        folder.mkdir(parents=True, exist_ok=True)
        state.write_text(identity, json.dumps(plan.identity, indent=2) + "\n")
    return True
