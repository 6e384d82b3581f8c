# SPDX-License-Identifier: Apache-2.0
"""Writes a search of LLaMA2-7B that can be checked and sized, but not run: its weights are a hole.

Usage, in a test:
    llama2_search(folder, [65536, 131072])
    run_program("search", "--check", "--ranks", "1", "search.toml", folder=folder)

The 13 GB of weights take no room: the file has a header, and nothing was ever written behind it.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy
from search_run import REPOSITORY, changed, synthetic_search, to_toml

CONFIG = REPOSITORY / "configs" / "models" / "llama2-7b" / "config.json"
PARAMETERS = 6_738_415_616  # as its paper's 7B counts them
SPLITS = (0, 2, 1)  # a document to search on, one to validate, one held out


def tensors(config: dict[str, int]) -> dict[str, list[int]]:
    """Shapes by the names that transformers gives."""
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    shapes = {
        "model.embed_tokens.weight": [config["vocab_size"], hidden],
        "lm_head.weight": [config["vocab_size"], hidden],
        "model.norm.weight": [hidden],
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"{prefix}.self_attn.{name}.weight"] = [hidden, hidden]
        for name in ("gate_proj", "up_proj"):
            shapes[f"{prefix}.mlp.{name}.weight"] = [inner, hidden]
        shapes[f"{prefix}.mlp.down_proj.weight"] = [hidden, inner]
        for name in ("input_layernorm", "post_attention_layernorm"):
            shapes[f"{prefix}.{name}.weight"] = [hidden]
    return shapes


def write_model(folder: Path) -> None:
    folder.mkdir()
    shutil.copy(CONFIG, folder)
    header, end = {}, 0
    for name, shape in tensors(json.loads(CONFIG.read_text())).items():
        begin, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def write_documents(file: Path, tokens: int) -> None:
    """Three documents of zeros, `tokens` long."""
    documents = len(SPLITS)
    text = numpy.zeros(documents * tokens, "<i4")
    with h5py.File(file, "w") as h5:
        h5.attrs["format_version"] = numpy.int32(1)
        h5.attrs["bos_token_id"] = numpy.int32(1)
        for name in ("tokenizer_sha256", "text_sha256"):
            h5.attrs[name] = numpy.bytes_("0" * 64)
        h5.attrs["tokens_sha256"] = numpy.bytes_(hashlib.sha256(text.tobytes()).hexdigest())
        for name in ("sources", "licences"):
            h5.attrs[name] = numpy.bytes_("zeros")
        h5["offsets"] = tokens * numpy.arange(documents + 1, dtype="<i8")
        h5["split"] = numpy.array(SPLITS, "u1")
        h5["titles"] = numpy.array([b"zeros"] * documents, "S5")
        h5["tokens"] = text


def llama2_search(folder: Path, tokens: Sequence[int], **evaluator: str) -> None:
    """Writes search.toml into `folder`: a stage for each of `tokens`, in rising order.

    The sizes are the paper's: 64 individuals, then 40 times 32. `evaluator` has other settings of
    that table.
    """
    write_model(folder / "llama2-7b")
    write_documents(folder / "long.h5", tokens[-1])
    configuration = changed(
        synthetic_search(
            population=64, parents=32, mutations=16, crossovers=16, iterations=40, documents=1
        ),
        model={"path": "llama2-7b"},
        documents={"path": "long.h5"},
    )
    configuration["evaluator"] = {"backend": "auto", "precision": "bf16"} | evaluator
    del configuration["evaluator.synthetic"]
    stage = configuration.pop("stage")
    text = to_toml(configuration)
    base: dict[str, str] = {}
    for target in tokens:
        named = stage | {"name": str(target), "target_tokens": target} | base
        text += to_toml({"stage": named})
        base = {"base": str(target)}
    (folder / "search.toml").write_text(text)
