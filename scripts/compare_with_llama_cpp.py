# SPDX-License-Identifier: Apache-2.0
"""Compares the losses of longrope with those of llama.cpp, token by token.

Usage: python scripts/compare_with_llama_cpp.py --model models/demo --documents documents/demo.h5 \\
           --tokens 1024 --methods none,yarn

Runs `longrope evaluate --per-token` in float32 with float32 angles. For each method the model is
written as a GGUF file in float32 whose tensor rope_freqs holds the rescale factors that longrope
states and whose rope.scaling.attn_factor holds the attention scale; llama.cpp scores the same
documents from that, with a float32 cache and without flash attention. Only models that GGUF calls
`llama` (Llama 1 to 3, SmolLM2) without biases. Prints, for each method, the perplexity of both, its
relative error, and the largest difference of a token's negative log-likelihood. Exit status: 0
within the limits, 1 beyond them or in error, 2 usage. It needs scripts/requirements-training.txt.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
from compare_with_transformers import (
    ComparisonError,
    Scores,
    compare_each,
    comparison_parser,
    exit_status,
    read_documents,
)
from gguf_model import LAYER_TENSORS, MODEL_TENSORS
from record_parity_fixtures import Rope

FLOAT32_CACHE = 0  # GGML_TYPE_F32
FLASH_ATTENTION_OFF = 0  # LLAMA_FLASH_ATTN_TYPE_DISABLED
PADDING = 256  # llama.cpp's context is a multiple of it


# --- The model as GGUF --------------------------------------------------------------------------


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
        raise ComparisonError(f"the tensor {name} is {kind}; F32, F16 and BF16 are understood")
    return np.frombuffer(data, {"F16": "<f2", "F32": "<f4"}[kind]).astype("<f4")


def interleaved_rows(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a query or key projection in the order of GGUF: the two of a pair side by side.

    @param weight  float32 [heads * head_dim, inputs], a pair's rows half a head apart
    """
    rows, inputs = weight.shape
    pairs = rows // heads // 2
    return weight.reshape(heads, 2, pairs, inputs).swapaxes(1, 2).reshape(rows, inputs)


def read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ComparisonError(f"cannot read {folder / 'config.json'}: {error}") from error
    if config.get("architectures") != ["LlamaForCausalLM"] or config.get("attention_bias"):
        raise ComparisonError(
            f"{folder} is {config.get('architectures')}, attention_bias "
            f"{config.get('attention_bias')}: only LlamaForCausalLM without biases is understood"
        )
    config.setdefault("num_key_value_heads", config["num_attention_heads"])
    config.setdefault("head_dim", config["hidden_size"] // config["num_attention_heads"])
    return config


def write_gguf(
    path: Path, folder: Path, rope: Rope | None, positions: int, kind: str = "F32"
) -> None:
    """The model of `folder` without a vocabulary, under `rope`; without one, as it is.

    @param kind  GGUF's name of the type that matrices are stored in: F32, F16, BF16, Q4_1, ...
    """
    import gguf

    stored = gguf.GGMLQuantizationType[kind]
    if rope is None:
        rope = Rope("none", np.empty(0))

    if rope.start_tokens:
        raise ComparisonError(f"{rope.method} has start tokens, which llama.cpp does not know")
    config, tensors = read_config(folder), read_tensors(folder)
    parameters = config.get("rope_parameters") or {}
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
    writer.add_rope_freq_base(parameters.get("rope_theta", config.get("rope_theta", 10000.0)))
    writer.add_rope_scaling_attn_factors(rope.attention_scale)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("no_vocab")

    ours = {theirs: name for name, theirs in MODEL_TENSORS.items()}
    for layer in range(config["num_hidden_layers"]):
        for name, theirs in LAYER_TENSORS.items():
            ours[f"model.layers.{layer}.{theirs}.weight"] = f"blk.{layer}.{name}.weight"
    for name, values in tensors.items():
        if name not in ours:
            raise ComparisonError(f"{folder}: GGUF has no name for the tensor {name}")
        if name.endswith("q_proj.weight"):
            values = interleaved_rows(values, config["num_attention_heads"])
        elif name.endswith("k_proj.weight"):
            values = interleaved_rows(values, config["num_key_value_heads"])
        values = np.ascontiguousarray(values)
        if values.ndim == 2 and kind != "F32":
            writer.add_tensor(ours[name], gguf.quants.quantize(values, stored), raw_dtype=stored)
        else:
            writer.add_tensor(ours[name], values)
    if len(rope.factors) > 0:
        writer.add_tensor("rope_freqs.weight", rope.factors.astype("<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# --- llama.cpp ----------------------------------------------------------------------------------


def llama_cpp_nll(gguf_file: Path, documents: list[np.ndarray], threads: int) -> np.ndarray:
    """Negative log-likelihoods in nats, float32 [documents, tokens - 1]."""
    from cyllama.llama import llama_cpp

    class Model(llama_cpp.LlamaModel):
        """get_logits_ith of cyllama 0.2.18 asks its model for an n_vocab that it does not have."""

        @property
        def n_vocab(self) -> int:
            return self.get_vocab().n_vocab

    llama_cpp.disable_logging()
    model = Model(str(gguf_file), llama_cpp.LlamaModelParams())
    tokens = len(documents[0])
    parameters = llama_cpp.LlamaContextParams()
    parameters.n_ctx = parameters.n_batch = -(-tokens // PADDING) * PADDING
    parameters.n_ubatch = min(512, parameters.n_batch)
    parameters.type_k = parameters.type_v = FLOAT32_CACHE
    parameters.flash_attn_type = FLASH_ATTENTION_OFF
    parameters.n_threads = parameters.n_threads_batch = threads
    rows = []
    for document in documents:
        context = llama_cpp.LlamaContext(model, parameters)
        batch = llama_cpp.LlamaBatch(n_tokens=tokens, embd=0, n_seq_max=1)
        for position, token in enumerate(document):
            batch.add(int(token), position, [0], True)
        context.decode(batch)
        row = []
        for position in range(tokens - 1):
            logits = np.array(context.get_logits_ith(position), np.float64)
            top = logits.max()
            row.append(top + math.log(np.exp(logits - top).sum()) - logits[document[position + 1]])
        rows.append(np.array(row, np.float32))
        context.close()
    return np.stack(rows)


# --- The comparison -----------------------------------------------------------------------------


def compare(arguments: argparse.Namespace) -> bool:
    """Prints a row for each method; whether all are within the limits."""
    documents, titles = read_documents(arguments.documents, arguments.split, arguments.tokens)
    documents, titles = documents[: arguments.most], titles[: arguments.most]

    def their_nll(scores: Scores, folder: Path) -> np.ndarray:
        model = folder / "model.gguf"
        write_gguf(model, arguments.model, scores.rope, arguments.tokens)
        return llama_cpp_nll(model, documents, arguments.threads)

    return compare_each(arguments, "llama.cpp", (documents, titles), their_nll)


def main() -> int:
    parser = comparison_parser(__doc__)
    parser.add_argument("--most", type=int, default=1, help="documents (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="of llama.cpp (default: 2)")
    arguments = parser.parse_args()
    return exit_status("compare_with_llama_cpp", lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())
