# SPDX-License-Identifier: Apache-2.0
"""A Llama of a GGUF file as a Hugging Face folder: config.json, model.safetensors, tokenizer.json.

Usage: not a program; scripts/prepare_smollm2.py and scripts/export_gguf.py use it.

Everything is taken from the file's metadata. What this module does not understand is refused by
name, since a model that is nearly right gives perplexities that look right.

Weights become float32. A quantised weight is d*q or d*q + m with d and m in float16 and q a small
integer; neither float16 nor bfloat16 holds all of these.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from tokenizers import Tokenizer

NORMAL_TOKEN, CONTROL_TOKEN, USER_DEFINED_TOKEN = 1, 3, 4  # of GGUF's token types

# GGUF name of what belongs to one layer, and its name in transformers.
LAYER_TENSORS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
MODEL_TENSORS = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
UNTIED_HEAD = "output.weight"
# LongRoPE's two lists, float32 [rotary pairs]; llama.cpp takes one by the context it allocates.
LONG_FACTORS, SHORT_FACTORS = "rope_factors_long.weight", "rope_factors_short.weight"


class GgufError(Exception):
    """A GGUF file that cannot be converted; the text says what was found and what is understood."""


class GgufModel:
    """A GGUF file, opened: its metadata and its tensors, which stay in the mapped file."""

    def __init__(self, path: Path) -> None:
        import gguf

        self.path = path
        try:
            reader = gguf.GGUFReader(path)
            self.metadata = {name: field.contents() for name, field in reader.fields.items()}
        except OSError as error:
            raise GgufError(f"cannot read {path}: {error.strerror or error}") from error
        except (ValueError, IndexError, KeyError, UnicodeDecodeError) as error:
            raise GgufError(f"{path} is no GGUF file, or a damaged one: {error}") from error
        self.reader = reader
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}

    def get(self, key: str, default: Any = None) -> Any:
        return self.metadata.get(key, default)

    def required(self, key: str) -> Any:
        if key not in self.metadata:
            raise GgufError(f"{self.path}: the metadata has no {key}")
        return self.metadata[key]

    def accept(self, key: str, default: Any, *accepted: Any) -> Any:
        """The value of `key`, which must be one of `accepted`."""
        value = self.get(key, default)
        if value not in accepted:
            choices = " or ".join(repr(choice) for choice in accepted)
            raise GgufError(f"{self.path}: {key} = {value!r}; this script understands {choices}")
        return value


# --- config.json --------------------------------------------------------------------------------


def llama_config(model: GgufModel) -> dict[str, Any]:
    """The content of config.json."""
    model.accept("general.architecture", None, "llama")
    scaling = model.accept("llama.rope.scaling.type", "none", "none", "longrope")
    model.accept("llama.expert_count", 0, 0)
    hidden = model.required("llama.embedding_length")
    heads = model.required("llama.attention.head_count")
    head_dim = model.get("llama.attention.key_length", hidden // heads)
    model.accept("llama.attention.value_length", head_dim, head_dim)
    model.accept("llama.rope.dimension_count", head_dim, head_dim)
    if model.get("tokenizer.ggml.model") == "no_vocab":
        vocabulary = model.required("llama.vocab_size")
    else:
        vocabulary = len(model.required("tokenizer.ggml.tokens"))
        model.accept("llama.vocab_size", vocabulary, vocabulary)
    keys = UNDERSTOOD + (LONGROPE_KEYS if scaling == "longrope" else ())
    understood = {f"llama.{name}" for name in keys}
    for key in model.metadata:
        if key.startswith("llama.") and key not in understood:
            raise GgufError(f"{model.path}: this script does not understand {key}")
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": model.required("llama.feed_forward_length"),
        "num_hidden_layers": model.required("llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": model.get("llama.attention.head_count_kv", heads),
        "head_dim": head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": model.required("llama.context_length"),
        "rms_norm_eps": shortest_decimal(model.required("llama.attention.layer_norm_rms_epsilon")),
        "rope_theta": shortest_decimal(model.get("llama.rope.freq_base", 10000.0)),
        "tie_word_embeddings": UNTIED_HEAD not in model.tensors,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": model.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": model.get("tokenizer.ggml.eos_token_id"),
        "pad_token_id": model.get("tokenizer.ggml.padding_token_id"),
        "torch_dtype": "float32",
    }
    return config | (longrope_keys(model) if scaling == "longrope" else {})


def longrope_keys(model: GgufModel) -> dict[str, Any]:
    """LongRoPE's two lists as config.json has them, from tensors."""
    for name in (LONG_FACTORS, SHORT_FACTORS):
        if name not in model.tensors:
            raise GgufError(f"{model.path}: the tensor {name} is missing")
    original = model.required("llama.rope.scaling.original_context_length")
    return {
        "original_max_position_embeddings": original,
        "rope_scaling": {
            "rope_type": "longrope",
            "original_max_position_embeddings": original,
            "factor": model.required("llama.context_length") / original,
            "attention_factor": float(model.get("llama.rope.scaling.attn_factor", 1.0)),
            "short_factor": [float(value) for value in model.tensors[SHORT_FACTORS].data],
            "long_factor": [float(value) for value in model.tensors[LONG_FACTORS].data],
        },
    }


LONGROPE_KEYS = ("rope.scaling.original_context_length", "rope.scaling.attn_factor")
UNDERSTOOD = (
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "expert_count",
    "vocab_size",
)


def shortest_decimal(value: float) -> float:
    """The number that was meant: GGUF has float32, and 1e-05 comes as 9.999999747378752e-06."""
    import numpy as np

    return float(str(np.float32(value)))


# --- model.safetensors --------------------------------------------------------------------------


def half_split_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in the order that transformers has.

    A rotation turns pairs of rows of each head. GGUF keeps the two rows of pair i beside each
    other, at 2i and 2i + 1; transformers has them half a head apart, at i and i + head_dim / 2.

    @param weight  float32 [heads * head_dim, inputs]
    """
    rows, inputs = weight.shape
    pairs = rows // heads // 2
    return weight.reshape(heads, pairs, 2, inputs).swapaxes(1, 2).reshape(rows, inputs)


def tensor_plan(model: GgufModel, config: dict[str, Any]) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name and shape in transformers of each tensor, by its GGUF name; exactly what there is."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    queries = config["num_attention_heads"] * config["head_dim"]
    keys = config["num_key_value_heads"] * config["head_dim"]
    layer_shapes = {
        "attn_norm": (hidden,),
        "attn_q": (queries, hidden),
        "attn_k": (keys, hidden),
        "attn_v": (keys, hidden),
        "attn_output": (hidden, queries),
        "ffn_norm": (hidden,),
        "ffn_gate": (inner, hidden),
        "ffn_up": (inner, hidden),
        "ffn_down": (hidden, inner),
    }
    vocabulary = (config["vocab_size"], hidden)
    model_shapes = {"output_norm.weight": (hidden,), "token_embd.weight": vocabulary}
    if not config["tie_word_embeddings"]:
        model_shapes[UNTIED_HEAD] = vocabulary
    plan = {name: (MODEL_TENSORS[name], shape) for name, shape in model_shapes.items()}
    for layer in range(config["num_hidden_layers"]):
        for name, shape in layer_shapes.items():
            target = f"model.layers.{layer}.{LAYER_TENSORS[name]}.weight"
            plan[f"blk.{layer}.{name}.weight"] = (target, shape)
    if missing := sorted(plan.keys() - model.tensors.keys()):
        raise GgufError(f"{model.path}: the tensor {missing[0]} is missing ({len(missing)} in all)")
    lists = {LONG_FACTORS, SHORT_FACTORS} if "rope_scaling" in config else set()
    if unknown := sorted(model.tensors.keys() - plan.keys() - lists):
        raise GgufError(f"{model.path}: this script does not understand the tensor {unknown[0]}")
    for name, (_, shape) in plan.items():
        found = tuple(int(size) for size in reversed(model.tensors[name].shape))
        if found != shape:
            raise GgufError(
                f"{model.path}: the tensor {name} has shape {list(found)}; the metadata gives "
                f"{list(shape)}"
            )
    return plan


def read_tensor(model: GgufModel, name: str, config: dict[str, Any]) -> np.ndarray:
    """A tensor dequantised to float32, its rows in the order of transformers."""
    import gguf
    import numpy as np

    tensor = model.tensors[name]
    try:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).astype("<f4", copy=False)
    except NotImplementedError as error:
        raise GgufError(
            f"{model.path}: the tensor {name} is quantised as {tensor.tensor_type.name}, which the "
            "Python package 'gguf' cannot dequantise"
        ) from error
    if not np.isfinite(values).all():
        raise GgufError(f"{model.path}: the tensor {name} has values that are not finite")
    if re.fullmatch(r"blk\.\d+\.attn_q\.weight", name):
        values = half_split_rows(values, config["num_attention_heads"])
    elif re.fullmatch(r"blk\.\d+\.attn_k\.weight", name):
        values = half_split_rows(values, config["num_key_value_heads"])
    return np.ascontiguousarray(values)


def write_safetensors(path: Path, model: GgufModel, config: dict[str, Any]) -> None:
    """All weights in float32, one tensor in memory at a time."""
    plan = tensor_plan(model, config)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for target, shape in plan.values():
        begin, end = end, end + 4 * math.prod(shape)
        header[target] = {"dtype": "F32", "shape": list(shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # the values begin at a multiple of 8 bytes
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in plan:
            file.write(read_tensor(model, name, config).data)


# --- tokenizer.json -----------------------------------------------------------------------------


def build_tokenizer(model: GgufModel) -> Tokenizer:
    """The byte-level BPE of the metadata: vocabulary, merges, special tokens, pre-tokeniser.

    GGUF names the pre-tokeniser and does not spell it out. "smollm" makes every digit a piece of
    its own before GPT-2's expression cuts the rest.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    model.accept("tokenizer.ggml.model", None, "gpt2")
    model.accept("tokenizer.ggml.pre", None, "smollm")
    model.accept("tokenizer.ggml.add_bos_token", False, False)
    model.accept("tokenizer.ggml.add_space_prefix", False, False)
    tokens = model.required("tokenizer.ggml.tokens")
    types = model.get("tokenizer.ggml.token_type", [NORMAL_TOKEN] * len(tokens))
    vocabulary = {token: index for index, token in enumerate(tokens)}
    if len(vocabulary) != len(tokens) or len(types) != len(tokens):
        raise GgufError(
            f"{model.path}: {len(tokens)} tokens, of which {len(vocabulary)} differ, with "
            f"{len(types)} types: the vocabulary is damaged"
        )
    known = {NORMAL_TOKEN, CONTROL_TOKEN, USER_DEFINED_TOKEN}
    if unknown := sorted(set(types) - known):
        raise GgufError(f"{model.path}: this script does not understand token type {unknown[0]}")
    merges = []
    for number, merge in enumerate(model.required("tokenizer.ggml.merges")):
        parts = tuple(merge.split(" "))
        if len(parts) != 2 or any(part not in vocabulary for part in (*parts, "".join(parts))):
            raise GgufError(
                f"{model.path}: merge {number} is {merge!r}: expected two tokens of the "
                "vocabulary that make a third"
            )
        merges.append(parts)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    for token, kind in zip(tokens, types, strict=True):
        if kind == CONTROL_TOKEN:
            tokenizer.add_special_tokens([AddedToken(token, normalized=False)])
        elif kind == USER_DEFINED_TOKEN:
            tokenizer.add_tokens([AddedToken(token, normalized=False)])
    return tokenizer


def tokenizer_config(model: GgufModel) -> dict[str, Any]:
    """The content of tokenizer_config.json: what transformers' AutoTokenizer asks for."""
    tokens = model.required("tokenizer.ggml.tokens")
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "add_bos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": model.required("llama.context_length"),
    }
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        index = model.get(f"tokenizer.ggml.{key}_token_id")
        if index is not None:
            config[f"{name}_token"] = tokens[index]
    if template := model.get("tokenizer.chat_template"):
        config["chat_template"] = template
    return config


# --- The folder ---------------------------------------------------------------------------------


def write_model(gguf_file: Path, folder: Path) -> None:
    """Writes the files of the model into `folder`, which must exist."""
    model = GgufModel(gguf_file)
    config = llama_config(model)
    tokenizer = build_tokenizer(model)
    write_safetensors(folder / "model.safetensors", model, config)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(pretty=True), encoding="utf-8")
    for name, content in (
        ("config.json", config),
        ("tokenizer_config.json", tokenizer_config(model)),
    ):
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
