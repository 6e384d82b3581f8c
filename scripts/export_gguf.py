# SPDX-License-Identifier: Apache-2.0
"""Writes a GGUF file with LongRoPE's two lists, for llama.cpp.

Usage: python scripts/export_gguf.py FOLDER --output MODEL.gguf [--base BASE.gguf]

FOLDER is what `longrope export --format hf` wrote. With --base its two lists, windows and attention
scale go into a copy of that GGUF file, whatever its weights are stored in, and its vocabulary
stays: this is the way to a model that llama.cpp talks with. BASE.gguf is the same model, made by
llama.cpp's own converter. Without --base a Llama's weights are written from FOLDER, without a
vocabulary: good for scoring token ids.

llama.cpp takes the lists for the architectures llama (Llama, Mistral, SmolLM2) and phi3. It uses
the long one where the context that it allocates for a sequence (-c) is longer than the original
window, however short the prompt.

What was written is read back: keys, lists and every other tensor. With --documents the weights and
lists of the GGUF file are also made a folder again, and `longrope evaluate` must find the
perplexity of FOLDER, within 1e-6 where the weights are the same. It needs scripts/requirements.txt.
Exit status: 0 done, 1 the file differs from what was to be written (it stays there), or an error, 2
usage.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import gguf_model
import gguf_writing
import numpy as np
from gguf_model import LONG_FACTORS, SHORT_FACTORS, GgufError, GgufModel
from gguf_writing import LongRope

TYPES = ("F32", "F16", "BF16", "Q8_0", "Q4_1", "Q4_0", "Q5_0", "Q5_1")
LARGEST_DIFFERENCE = 1e-6  # relative, of a perplexity


# --- Checks -------------------------------------------------------------------------------------


# The shapes of a model in GGUF, after the architecture, and in config.json.
SHAPES = {
    "block_count": "num_hidden_layers",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
}


def check_shapes(base: GgufModel, folder: Path) -> None:
    """Whether the two are of one model, as far as shapes tell."""
    architecture = base.required("general.architecture")
    config = gguf_writing.read_json(folder / "config.json")
    ours = {key: value for key, value in config.items() if value is not None}
    ours.setdefault("num_key_value_heads", ours.get("num_attention_heads"))
    found = {name: base.get(f"{architecture}.{name}") for name in SHAPES}
    if found["attention.head_count_kv"] is None:
        found["attention.head_count_kv"] = found["attention.head_count"]
    rows = [(f"{architecture}.{name}", found[name], key) for name, key in SHAPES.items()]
    rows.append(("the vocabulary", vocabulary_size(base, architecture), "vocab_size"))
    different = [
        f"{name} = {theirs}, but {key} = {ours.get(key)}"
        for name, theirs, key in rows
        if theirs != ours.get(key)
    ]
    if different:
        raise GgufError(
            f"{base.path} is another model than {folder / 'config.json'}:\n    "
            + "\n    ".join(different)
        )


def vocabulary_size(base: GgufModel, architecture: str) -> int:
    if "token_embd.weight" in base.tensors:
        return int(base.tensors["token_embd.weight"].shape[1])
    tokens = len(base.get("tokenizer.ggml.tokens", ()))
    return base.get(f"{architecture}.vocab_size", tokens)


def check_base(base: GgufModel, rope: LongRope) -> None:
    """Whether the two lists are for this model, and llama.cpp would take them."""
    architecture = base.required("general.architecture")
    if architecture not in gguf_writing.LONGROPE_ARCHITECTURES:
        raise GgufError(
            f"{base.path}: general.architecture = {architecture!r}; llama.cpp takes the two lists "
            f"for {' and '.join(gguf_writing.LONGROPE_ARCHITECTURES)} only"
        )
    if base.get("split.count", 1) > 1:
        raise GgufError(
            f"{base.path}: one of {base.get('split.count', 1)} parts of a model: join them first, "
            "with llama.cpp's llama-gguf-split --merge"
        )
    heads = base.required(f"{architecture}.attention.head_count")
    width = base.required(f"{architecture}.embedding_length") // heads
    width = base.get(f"{architecture}.attention.key_length", width)
    pairs = base.get(f"{architecture}.rope.dimension_count", width) // 2
    if pairs != len(rope.long_factors):
        raise GgufError(
            f"{base.path}: {pairs} rotary pairs, and the lists have "
            f"{len(rope.long_factors)} factors"
        )
    theta = base.get(f"{architecture}.rope.freq_base", 10000.0)
    if np.float32(theta) != np.float32(rope.theta):
        raise GgufError(
            f"{base.path}: rope.freq_base = {theta}, and the lists are for {rope.theta}"
        )


def check_written(path: Path, rope: LongRope, tensors: dict[str, np.ndarray] | None) -> None:
    """Whether the file reads back as it was meant.

    @param tensors  of the base, as they are stored; None: written anew from a folder
    """
    written = GgufModel(path)
    architecture = written.required("general.architecture")
    expected = {
        "context_length": rope.target_tokens,
        "rope.scaling.type": "longrope",
        "rope.scaling.original_context_length": rope.original_window,
        "rope.scaling.attn_factor": float(np.float32(rope.attention_scale)),
        "rope.scaling.factor": None,
    }
    for key, value in expected.items():
        found = written.get(f"{architecture}.{key}")
        if found != value:
            raise GgufError(f"{path}: {architecture}.{key} reads back as {found!r}, not {value!r}")
    lists = {LONG_FACTORS: rope.long_factors, SHORT_FACTORS: rope.short_factors}
    for name, values in lists.items():
        if not np.array_equal(written.tensors[name].data, values.astype("<f4")):
            raise GgufError(f"{path}: the tensor {name} reads back differently")
    if tensors is None:
        return
    for name, values in tensors.items():
        if not np.array_equal(written.tensors[name].data, values):
            raise GgufError(f"{path}: the tensor {name} reads back differently")
    if unknown := written.tensors.keys() - tensors.keys() - lists.keys():
        raise GgufError(f"{path}: the tensor {min(unknown)} is not one of the base")


# --- Reloading with longrope --------------------------------------------------------------------


def perplexities(program: Path, folder: Path, documents: Path, rope: LongRope) -> dict[int, float]:
    """What `longrope evaluate --methods model` finds at both windows, each with its own list."""
    found = {}
    for tokens in (rope.original_window, rope.target_tokens):
        command = [
            *(str(program), "evaluate", "--model", str(folder), "--documents", str(documents)),
            *("--methods", "model", "--tokens", str(tokens), "--json"),
        ]
        try:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=False
            )
        except OSError as error:
            raise GgufError(f"cannot run {program}: {error.strerror}") from error
        if done.returncode != 0:
            raise GgufError(f"{' '.join(command)} ended with status {done.returncode}")
        results: list[dict[str, Any]] = json.loads(done.stdout)["results"]
        found[tokens] = float(results[0]["perplexity"])
    return found


def reload(path: Path, folder: Path, rope: LongRope, arguments: argparse.Namespace) -> bool:
    """Compares the perplexities of the GGUF file and of the folder; whether they are the same."""
    model = GgufModel(path)
    with tempfile.TemporaryDirectory(prefix="reload-", dir=path.parent) as again:
        config = gguf_model.llama_config(model)
        gguf_model.write_safetensors(Path(again) / "model.safetensors", model, config)
        (Path(again) / "config.json").write_text(json.dumps(config), encoding="utf-8")
        theirs = perplexities(arguments.longrope, Path(again), arguments.documents, rope)
    ours = perplexities(arguments.longrope, folder, arguments.documents, rope)
    print(f"{'tokens':>8}{'GGUF':>14}{'folder':>14}{'difference':>14}")
    worst = 0.0
    for tokens, value in theirs.items():
        apart = abs(value / ours[tokens] - 1)
        worst = max(worst, apart)
        print(f"{tokens:>8}{value:>14.6f}{ours[tokens]:>14.6f}{apart:>14.1e}")
    if arguments.base or arguments.type != "F32":
        print("The weights are stored in another type than in the folder, or may be.")
        return True
    return worst <= LARGEST_DIFFERENCE


# --- The program --------------------------------------------------------------------------------


def export(arguments: argparse.Namespace) -> int:
    output: Path = arguments.output
    if output.exists() and not arguments.force:
        raise GgufError(f"{output} exists already; --force replaces it")
    rope = gguf_writing.read_longrope(arguments.folder)
    tensors = None
    partial = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        if arguments.base:
            base = GgufModel(arguments.base)
            check_base(base, rope)
            check_shapes(base, arguments.folder)
            gguf_writing.copy_with_longrope(base, partial, rope)
            dropped = {gguf_writing.ROPE_FREQUENCIES, LONG_FACTORS, SHORT_FACTORS}
            tensors = {
                name: tensor.data for name, tensor in base.tensors.items() if name not in dropped
            }
            if gguf_writing.ROPE_FREQUENCIES in base.tensors:
                print(f"left out {gguf_writing.ROPE_FREQUENCIES}, the scaling of {arguments.base}")
        else:
            gguf_writing.write_llama(
                partial,
                arguments.folder,
                rope.target_tokens,
                lambda writer: gguf_writing.add_longrope(writer, rope),
                arguments.type,
            )
        partial.replace(output)
    except OSError as error:
        raise GgufError(f"cannot write {output}: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
    check_written(output, rope, tensors)
    print(
        f"Wrote {output}: {len(rope.long_factors)} factors each, {rope.original_window} to "
        f"{rope.target_tokens} tokens, attention scale {rope.attention_scale:.6f}; read back as "
        "written."
    )
    if arguments.documents and not reload(output, arguments.folder, rope, arguments):
        print(
            f"export_gguf: {output} has another perplexity than {arguments.folder}; it stays there",
            file=sys.stderr,
        )
        return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="written by longrope export --format hf")
    parser.add_argument("--output", type=Path, required=True, help="GGUF file to write")
    parser.add_argument("--base", type=Path, help="GGUF file of the same model to copy")
    parser.add_argument(
        "--type",
        choices=TYPES,
        default="F32",
        help="of matrices, without --base (default: %(default)s)",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that exists")
    parser.add_argument("--documents", type=Path, help="documents file to compare perplexities on")
    parser.add_argument(
        "--longrope",
        type=Path,
        default=Path("build/release/longrope"),
        help="the program that compares them (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        return export(arguments)
    except GgufError as error:
        print(f"export_gguf: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(
            f"export_gguf: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh",
            file=sys.stderr,
        )
    return 1


if __name__ == "__main__":
    sys.exit(main())
