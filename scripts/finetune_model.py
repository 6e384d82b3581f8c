# SPDX-License-Identifier: Apache-2.0
"""The model of a fine-tuning: rescaled positions, the loss of a segment, sharding, saving.

Usage: not a program; scripts/finetune.py reads it, once PyTorch is known to be there.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path

import finetune_state as state
import numpy as np
import torch
import torch.distributed as dist
from rescale_factors import FactorsError, Rescaling, RotaryFacts
from torch import nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    set_model_state_dict,
)
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.utils import logging as transformers_logging

SAVED_DTYPES = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
DTYPE_NAMES = {dtype: str(dtype).removeprefix("torch.") for dtype in SAVED_DTYPES.values()}


# --- Positions ----------------------------------------------------------------------------------


class RescaledRotary(nn.Module):
    """Stands in for a model's rotary embedding: m cos and m sin of the angles of LongRoPE.

    Pair i of position n turns by n theta^(-2i/d) / lambda_i, and without lambda_i below the start
    tokens (arXiv:2402.13753, equation 3). Angles are formed in float64, as longrope forms them, and
    the results are float32 whatever the model computes in.
    """

    def __init__(self, facts: RotaryFacts, rescaling: Rescaling) -> None:
        super().__init__()
        if len(rescaling.factors) != facts.pairs:
            raise FactorsError(
                f"{len(rescaling.factors)} factors for a model of {facts.pairs} rotary pairs"
            )
        plain = facts.theta ** -(2 * np.arange(facts.pairs) / facts.rotary_dim)
        # No buffers: those would be cast with the model, and belong to its state.
        self._plain = torch.tensor(plain, dtype=torch.float64)
        self._rescaled = torch.tensor(plain / rescaling.factors, dtype=torch.float64)
        self._start_tokens = rescaling.start_tokens
        self._attention_scale = rescaling.attention_scale

    @torch.no_grad()
    def forward(self, x: torch.Tensor, position_ids: torch.Tensor, *_, **__):
        """Cosines and sines, float32 [segments, positions, rotary dimension]."""
        positions = position_ids[..., None].double()
        plain, rescaled = self._plain.to(x.device), self._rescaled.to(x.device)
        angles = torch.where(
            positions < self._start_tokens, positions * plain, positions * rescaled
        )
        angles = torch.cat([angles, angles], dim=-1)
        m = self._attention_scale
        return (m * angles.cos()).float(), (m * angles.sin()).float()


def rescale_positions(model, facts: RotaryFacts, rescaling: Rescaling) -> None:
    """Replaces the rotary embedding of a transformers model, and has it applied in float32."""
    decoder = model.model
    found = getattr(getattr(decoder, "rotary_emb", None), "inv_freq", None)
    if found is None or not found.is_meta and len(found) != facts.pairs:
        raise FactorsError(
            f"{type(model).__name__} has no rotary embedding of {facts.pairs} pairs to replace: "
            "Llama, Mistral, Qwen2, Qwen3 and Phi-3 are known to work"
        )
    decoder.rotary_emb = RescaledRotary(facts, rescaling)
    implementation = sys.modules[type(model).__module__]
    apply = implementation.apply_rotary_pos_emb
    if getattr(apply, "in_float32", False):
        return

    # bfloat16 has 8 bits: cosines of far positions rounded to it are no longer those evaluated.
    def apply_in_float32(q, k, cos, sin, *rest, **options):
        turned_q, turned_k = apply(q.float(), k.float(), cos, sin, *rest, **options)
        return turned_q.to(q.dtype), turned_k.to(k.dtype)

    apply_in_float32.in_float32 = True
    implementation.apply_rotary_pos_emb = apply_in_float32


# --- Loss ---------------------------------------------------------------------------------------


class SegmentLoss(nn.Module):
    """Mean negative log-likelihood (nats per token) of segments, each scored whole.

    The logits are never held at once: of 131,072 tokens they are 17 GB.
    """

    def __init__(self, model, chunk_tokens: int) -> None:
        super().__init__()
        self.model = model
        self._chunk = chunk_tokens

    def forward(self, segments: torch.Tensor) -> torch.Tensor:
        """@param segments  token ids, int64 [segments, positions]"""
        hidden = self.model.model(input_ids=segments, use_cache=False).last_hidden_state
        hidden, targets = hidden[:, :-1].flatten(0, 1), segments[:, 1:].flatten()
        total = hidden.new_zeros((), dtype=torch.float32)
        for begin in range(0, len(targets), self._chunk):
            part = slice(begin, begin + self._chunk)
            total = total + checkpoint(
                self._sum_nll, hidden[part], targets[part], use_reentrant=False
            )
        return total / len(targets)

    def _sum_nll(self, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        logits = self.model.lm_head(hidden).float()
        return nn.functional.cross_entropy(logits, targets, reduction="sum")


# --- Loading ------------------------------------------------------------------------------------


def load(folder: Path, weights: bool = True):
    """A folder's model in float32, attending to every earlier token; without weights on `meta`."""
    transformers_logging.disable_progress_bar()
    config = AutoConfig.from_pretrained(folder)
    if getattr(config, "sliding_window", None) is not None:
        config.sliding_window = None
    if weights:
        return AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=torch.float32, attn_implementation="sdpa"
        )
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(
            config, dtype=torch.float32, attn_implementation="sdpa"
        )


def trainee(
    folder: Path,
    facts: RotaryFacts,
    rescaling: Rescaling,
    device: torch.device,
    *,
    precision: str,
    chunk_tokens: int,
    gradient_checkpointing: bool,
    offload_activations: bool,
) -> SegmentLoss:
    """The model to train on `device`; sharded over all processes where there are several."""
    sharded = dist.is_initialized()
    model = load(folder, weights=not sharded)
    rescale_positions(model, facts, rescaling)
    model.config.use_cache = False
    if gradient_checkpointing:
        model.activation_checkpointing_enable({"use_reentrant": False}, offload=offload_activations)
    loss = SegmentLoss(model, chunk_tokens).train()
    if not sharded:
        return loss.to(device)
    # Only the first process reads the weights: each would hold them whole before they are sharded.
    _shard(loss, device, precision)
    loss.to_empty(device=device)
    model.tie_weights()
    weights = {}
    if dist.get_rank() == 0:
        weights = {f"model.{name}": of for name, of in load(folder).state_dict().items()}
    set_model_state_dict(
        loss, weights, options=StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    )
    return loss


def _shard(loss: SegmentLoss, device: torch.device, precision: str) -> None:
    """FSDP: parameters, gradients and optimiser states lie over the processes, layer by layer."""
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    mesh = init_device_mesh(device.type, (dist.get_world_size(),))
    # Inputs stay as they are: cosines and sines must not become bfloat16.
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if precision == "bf16" else None,
        reduce_dtype=torch.float32,
        cast_forward_inputs=False,
    )
    for layer in loss.model.model.layers:
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(loss, mesh=mesh, mp_policy=policy)


def arithmetic(precision: str, device: torch.device) -> contextlib.AbstractContextManager:
    """What a process alone computes in; under FSDP its policy decides."""
    if precision == "bf16" and not dist.is_initialized():
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return contextlib.nullcontext()


# --- Saving -------------------------------------------------------------------------------------


def base_dtype(folder: Path) -> torch.dtype:
    config = AutoConfig.from_pretrained(folder)
    found = getattr(config, "dtype", None)
    return found if found in DTYPE_NAMES else torch.float32


def save_model(
    loss: SegmentLoss, base: Path, output: Path, saved_precision: str, notes: dict[str, dict | str]
) -> None:
    """Writes a Hugging Face folder: the weights, and beside them what the base has.

    config.json stays the base's, unscaled: which factors the weights were tuned under is in
    `fine_tuning.json` and in the history of the search. The folder appears whole or not at all.
    All processes take part; the first must have the lock of the training folder. `notes` are
    further files by name.
    """
    tensors = get_model_state_dict(
        loss, options=StateDictOptions(full_state_dict=True, cpu_offload=True)
    )
    if not dist.is_initialized() or dist.get_rank() == 0:
        dtype = SAVED_DTYPES.get(saved_precision) or base_dtype(base)
        weights = {
            name.removeprefix("model."): tensor.to(dtype)
            for name, tensor in tensors.items()
            if name.startswith("model.")
        }
        state.remove_unfinished(output)
        temporary = state.unfinished(output)
        temporary.mkdir(parents=True)
        if loss.model.config.tie_word_embeddings:
            weights.pop("lm_head.weight", None)
        loss.model.save_pretrained(temporary, state_dict=weights)
        config = json.loads((base / "config.json").read_text(encoding="utf-8"))
        config.pop("dtype", None)
        config["torch_dtype"] = DTYPE_NAMES[dtype]
        (temporary / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        for file in state.companions(base):
            shutil.copyfile(file, temporary / file.name)
        for name, note in notes.items():
            text = note if isinstance(note, str) else json.dumps(note, indent=2) + "\n"
            (temporary / name).write_text(text, encoding="utf-8")
        for file in temporary.iterdir():
            file.chmod(0o644)
            with file.open("rb") as written:
                os.fsync(written.fileno())
        temporary.replace(output)
    if dist.is_initialized():
        dist.barrier()
