# SPDX-License-Identifier: Apache-2.0
"""A Hugging Face folder of a Llama as a GGUF file, and LongRoPE's lists in one.

Usage: not a program; scripts/export_gguf.py and scripts/compare_with_llama_cpp.py use it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf_model import (
    LAYER_TENSORS,
    LONG_FACTORS,
    MODEL_TENSORS,
    SHORT_FACTORS,
    GgufError,
    GgufModel,
)

if TYPE_CHECKING:
    import gguf

# Architectures for which llama.cpp's loader takes the two lists.
LONGROPE_ARCHITECTURES = ("llama", "phi3")
ROPE_FREQUENCIES = "rope_freqs.weight"  # another scaling, which would win
ALIGNMENT = "general.alignment"  # of the tensors in the file


# --- The folder ---------------------------------------------------------------------------------


def read_json(file: Path) -> dict[str, Any]:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GgufError(f"cannot read {file}: {error}") from error


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration of a Llama without biases, with the keys that have defaults."""
    config = read_json(folder / "config.json")
    if config.get("architectures") != ["LlamaForCausalLM"] or config.get("attention_bias"):
        raise GgufError(
            f"{folder} is {config.get('architectures')}, attention_bias "
            f"{config.get('attention_bias')}: only LlamaForCausalLM without biases is understood"
        )
    try:
        defaults = {
            "num_key_value_heads": config["num_attention_heads"],
            "head_dim": config["hidden_size"] // config["num_attention_heads"],
            "rms_norm_eps": 1e-6,
        }
    except (KeyError, TypeError) as error:
        raise GgufError(f"{folder / 'config.json'}: the shapes are incomplete: {error}") from error
    for key in ("num_hidden_layers", "intermediate_size", "vocab_size"):
        if not isinstance(config.get(key), int):
            raise GgufError(f"{folder / 'config.json'}: {key} is {config.get(key)}, no number")
    return config | {key: config.get(key) or value for key, value in defaults.items()}


def rope_theta(config: dict[str, Any]) -> float:
    parameters = config.get("rope_parameters") or {}
    return float(parameters.get("rope_theta", config.get("rope_theta", 10000.0)))


def read_tensors(folder: Path) -> dict[str, np.ndarray]:
    """All weights of a model folder as float32."""
    tensors = {}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            begin = file.tell()
            header.pop("__metadata__", None)
            for name, entry in header.items():
                first, end = entry["data_offsets"]
                file.seek(begin + first)
                tensors[name] = to_float32(file.read(end - first), entry["dtype"], name).reshape(
                    entry["shape"]
                )
    return tensors


def to_float32(data: bytes, kind: str, name: str) -> np.ndarray:
    if kind == "BF16":
        return (np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4")
    if kind not in ("F16", "F32"):
        raise GgufError(f"the tensor {name} is {kind}; F32, F16 and BF16 are understood")
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[kind]).astype("<f4")


def interleaved_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in the order of GGUF: the two of a pair side by side.

    @param weight  float32 [heads * head_dim, inputs], a pair's rows half a head apart
    """
    rows, inputs = weight.shape
    pairs = rows // heads // 2
    return weight.reshape(heads, 2, pairs, inputs).swapaxes(1, 2).reshape(rows, inputs)


# --- LongRoPE -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class LongRope:
    """The two lists of a model, of which llama.cpp takes one by the context that it allocates."""

    short_factors: np.ndarray  # float64 [rotary pairs]
    long_factors: np.ndarray  # float64 [rotary pairs]
    original_window: int  # tokens; a longer context takes the long list
    target_tokens: int
    theta: float
    attention_scale: float  # multiplies cosine and sine of both


def read_longrope(folder: Path) -> LongRope:
    """The lists that `longrope export --format hf` wrote."""
    config = read_json(folder / "config.json")
    section = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if section.get("rope_type", section.get("type")) != "longrope":
        raise GgufError(
            f'{folder / "config.json"} has no scaling of type "longrope": write the folder with '
            "longrope export --format hf"
        )
    try:
        original = config.get("original_max_position_embeddings")
        original = int(original or section["original_max_position_embeddings"])
        target = int(config["max_position_embeddings"])
        su = math.sqrt(1 + math.log(max(1.0, target / original)) / math.log(original))
        own = {**(config.get("rope_parameters") or {}), **section}
        return LongRope(
            np.array(section["short_factor"], np.float64),
            np.array(section["long_factor"], np.float64),
            original,
            target,
            rope_theta(config),
            float(own.get("attention_factor", su)),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise GgufError(f"{folder / 'config.json'}: the scaling cannot be read: {error}") from error


def add_longrope(writer: gguf.GGUFWriter, rope: LongRope) -> None:
    """Keys and tensors of the two lists.

    rope.scaling.factor is left out: it would stretch all frequencies once more.
    """
    import gguf

    writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
    writer.add_rope_scaling_orig_ctx_len(rope.original_window)
    writer.add_rope_scaling_attn_factors(rope.attention_scale)
    writer.add_tensor(LONG_FACTORS, rope.long_factors.astype("<f4"))
    writer.add_tensor(SHORT_FACTORS, rope.short_factors.astype("<f4"))


# --- Writing ------------------------------------------------------------------------------------


def write_llama(
    path: Path,
    folder: Path,
    positions: int,
    add_rope: Callable[[gguf.GGUFWriter], None],
    kind: str = "F32",
) -> None:
    """The model of `folder` without a vocabulary.

    @param add_rope  adds keys and tensors of a scaling
    @param kind      GGUF's name of the type that matrices are stored in: F32, F16, BF16, Q4_1, ...
    """
    import gguf

    stored = gguf.GGMLQuantizationType[kind]
    config, tensors = read_config(folder), read_tensors(folder)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(positions)
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["head_dim"])
    writer.add_rope_freq_base(rope_theta(config))
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")

    ours = {theirs: name for name, theirs in MODEL_TENSORS.items()}
    for layer in range(config["num_hidden_layers"]):
        for name, theirs in LAYER_TENSORS.items():
            ours[f"model.layers.{layer}.{theirs}.weight"] = f"blk.{layer}.{name}.weight"
    for name, values in tensors.items():
        if name.endswith(".rotary_emb.inv_freq"):
            continue  # old checkpoints have it; theta says the same
        if name not in ours:
            raise GgufError(f"{folder}: GGUF has no name for the tensor {name}")
        if name.endswith("q_proj.weight"):
            values = interleaved_rows(values, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            values = interleaved_rows(values, config["num_key_value_heads"])
        values = np.ascontiguousarray(values)
        if values.ndim == 2 and kind != "F32":
            writer.add_tensor(ours[name], gguf.quants.quantize(values, stored), raw_dtype=stored)
        else:
            writer.add_tensor(ours[name], values)
    add_rope(writer)
    finish(writer)


def copy_with_longrope(base: GgufModel, path: Path, rope: LongRope) -> None:
    """`base`, whatever its weights are stored in, with the two lists in place of its scaling."""
    import gguf

    architecture = base.required("general.architecture")
    writer = gguf.GGUFWriter(path, architecture)
    scaling = f"{architecture}.rope.scaling."
    context = f"{architecture}.context_length"
    for field in base.reader.fields.values():
        if field.name.startswith(("GGUF.", scaling)) or field.name in (
            "general.architecture",
            ALIGNMENT,
            context,
        ):
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), kind, sub_type=inner)
    if base.get(ALIGNMENT):
        writer.add_custom_alignment(base.get(ALIGNMENT))
    writer.add_context_length(rope.target_tokens)
    for tensor in base.tensors.values():
        if tensor.name not in (ROPE_FREQUENCIES, LONG_FACTORS, SHORT_FACTORS):
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    add_longrope(writer, rope)
    finish(writer)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
