# SPDX-License-Identifier: Apache-2.0
"""Exports a model and compares its perplexity in longrope, transformers and llama.cpp.

Usage: python scripts/compare_exports.py --model models/demo --documents documents/demo.h5 \\
           --target-tokens 2048 [--run runs/demo] [--record FILE.json]

Exports with `longrope export --format hf` and scripts/export_gguf.py: the factors of a run, or
without --run YaRN's for the target as the long list and YaRN's for twice the window as the short
one. Then each program scores the same documents at the original window and at the target, from the
export alone, and takes the list that it chooses by itself; llama.cpp, which chooses by the context
that it allocates, scores the short length twice. Beside each stands what longrope computes with the
list that this program should have taken, and with the other one, which must be further away.

Exit status: 0 if all agree within the limit, 1 if not or in error, 2 usage. It needs
scripts/requirements-training.txt.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from compare_with_llama_cpp import PADDING, llama_cpp_nll
from compare_with_transformers import (
    ComparisonError,
    exit_status,
    read_documents,
    transformers_nll,
)
from gguf_model import GgufError
from gguf_writing import LongRope, read_longrope

LIMIT = 1e-3  # relative error of a perplexity


@dataclass(frozen=True)
class Row:
    """One program at one length; perplexities."""

    program: str
    tokens: int
    takes: str  # the list that it should take: short or long
    found: float
    with_short: float  # longrope's, with either list
    with_long: float

    @property
    def expected(self) -> float:
        return self.with_short if self.takes == "short" else self.with_long

    @property
    def other(self) -> float:
        return self.with_long if self.takes == "short" else self.with_short

    @property
    def relative_error(self) -> float:
        return abs(self.found / self.expected - 1)

    @property
    def good(self) -> bool:
        return self.relative_error <= LIMIT and self.relative_error < abs(
            self.found / self.other - 1
        )


# --- longrope -----------------------------------------------------------------------------------


def run(command: list[str]) -> str:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    except OSError as error:
        raise ComparisonError(f"cannot run {command[0]}: {error.strerror}") from error
    if done.returncode != 0:
        raise ComparisonError(f"{' '.join(command)} ended with status {done.returncode}")
    return done.stdout


def evaluate(
    arguments: argparse.Namespace, model: Path, tokens: int, *words: str
) -> dict[str, Any]:
    """The last row of `longrope evaluate`, with angles as the others compute them."""
    answer = run(
        [
            *(str(arguments.longrope), "evaluate", "--model", str(model)),
            *("--documents", str(arguments.documents), "--split", arguments.split),
            *("--limit", str(arguments.most), "--tokens", str(tokens), "--json"),
            *("--precision", "f32", "--angles", "float32", *words),
        ]
    )
    return json.loads(answer)["results"][-1]


def with_list(
    arguments: argparse.Namespace, factors: np.ndarray, rope: LongRope, tokens: int, folder: Path
) -> float:
    """longrope's perplexity of the untouched model with one list, at one length."""
    file = folder / "list.csv"
    file.write_text("".join(f"{float(factor)!r}\n" for factor in factors), encoding="utf-8")
    words = ("--methods", "none", "--factors", str(file))
    scale = ("--attention-scale", repr(rope.attention_scale))
    return float(evaluate(arguments, arguments.model, tokens, *words, *scale)["perplexity"])


def model_window(model: Path) -> int:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    return int(config["max_position_embeddings"])


def export(arguments: argparse.Namespace, folder: Path) -> Path:
    """The exported folder."""
    output = folder / "export"
    command = [str(arguments.longrope), "export", "--output", str(output)]
    if arguments.run:
        command += [str(arguments.run), "--no-verify"]
        command += ["--short-stage", arguments.short_stage] if arguments.short_stage else []
        command += ["--drop-start-tokens"] if arguments.drop_start_tokens else []
        if arguments.drop_start_tokens:
            command.remove("--no-verify")
        run(command)
        return output
    window = arguments.original_window or model_window(arguments.model)
    windows = ("--original-window", str(window))
    files = []
    for name, target in (("long", arguments.target_tokens), ("short", 2 * window)):
        words = ("--methods", "yarn", "--target-tokens", str(target))
        factors = evaluate(arguments, arguments.model, 2, *words, *windows)["factors"]
        files.append(folder / f"{name}.json")
        files[-1].write_text(json.dumps(factors), encoding="utf-8")
    command += ["--model", str(arguments.model), "--target-tokens", str(arguments.target_tokens)]
    run([*command, *windows, "--factors", str(files[0]), "--short-factors", str(files[1])])
    return output


# --- The others ---------------------------------------------------------------------------------


def perplexity(nll: np.ndarray) -> float:
    return math.exp(float(nll.astype(np.float64).mean()))


def transformers_perplexity(folder: Path, documents: list[np.ndarray]) -> float:
    """From the folder alone: configuration, lists and their choice are transformers' business."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="sdpa"
    ).eval()
    return perplexity(transformers_nll(model, documents))


def write_gguf(arguments: argparse.Namespace, folder: Path, output: Path) -> None:
    script = Path(__file__).with_name("export_gguf.py")
    run([sys.executable, str(script), str(folder), "--output", str(output)])


# --- The comparison -----------------------------------------------------------------------------


def rows_of(arguments: argparse.Namespace, work: Path) -> tuple[LongRope, list[Row]]:
    folder = export(arguments, work)
    rope = read_longrope(folder)
    gguf = work / "model.gguf"
    write_gguf(arguments, folder, gguf)
    short, long = rope.original_window, rope.target_tokens
    texts = {
        tokens: read_documents(arguments.documents, arguments.split, tokens)[0][: arguments.most]
        for tokens in (short, long)
    }
    ours = {
        tokens: {
            "with_short": with_list(arguments, rope.short_factors, rope, tokens, work),
            "with_long": with_list(arguments, rope.long_factors, rope, tokens, work),
        }
        for tokens in (short, long)
    }
    rows = []

    def add(program: str, tokens: int, takes: str, found: float) -> None:
        rows.append(Row(program, tokens, takes, found, **ours[tokens]))

    for tokens, takes in ((short, "short"), (long, "long")):
        found = evaluate(arguments, folder, tokens, "--methods", "model")["perplexity"]
        add("longrope", tokens, takes, float(found))
        add("transformers", tokens, takes, transformers_perplexity(folder, texts[tokens]))
        found = perplexity(llama_cpp_nll(gguf, texts[tokens], arguments.threads, tokens))
        add("llama.cpp", tokens, takes, found)
    context = -(-long // PADDING) * PADDING
    found = perplexity(llama_cpp_nll(gguf, texts[short], arguments.threads, context))
    add(f"llama.cpp -c {context}", short, "long", found)
    return rope, rows


def compare(arguments: argparse.Namespace) -> bool:
    with tempfile.TemporaryDirectory(prefix="exports-") as work:
        try:
            rope, rows = rows_of(arguments, Path(work))
        except GgufError as error:
            raise ComparisonError(str(error)) from error
    print(
        f"{arguments.model}: {rope.original_window} to {rope.target_tokens} tokens, "
        f"attention scale {rope.attention_scale:.6f}, {arguments.most} documents "
        f"({arguments.split})\n\n"
        f"{'program':22}{'tokens':>8}  {'takes':8}{'perplexity':>12}{'longrope':>12}"
        f"{'relative error':>16}{'other list':>13}"
    )
    for row in rows:
        print(
            f"{row.program:22}{row.tokens:>8}  {row.takes:8}{row.found:>12.5f}"
            f"{row.expected:>12.5f}{row.relative_error:>16.1e}{row.other:>13.5f}"
            f"{'' if row.good else '  BEYOND THE LIMIT'}"
        )
    print(f"\nlimit: relative error {LIMIT:.0e}, and nearer than with the other list")
    if arguments.record:
        record = {
            "model": arguments.model.name,
            "documents": arguments.documents.name,
            "split": arguments.split,
            "original_window": rope.original_window,
            "target_tokens": rope.target_tokens,
            "attention_scale": rope.attention_scale,
            "long_factor": rope.long_factors.tolist(),
            "short_factor": rope.short_factors.tolist(),
            "rows": [asdict(row) for row in rows],
        }
        arguments.record.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return all(row.good for row in rows)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    parser.add_argument("--documents", type=Path, required=True, help="documents file (HDF5)")
    parser.add_argument(
        "--split",
        choices=("search", "validation", "heldout"),
        default="heldout",
        help="whose documents are compared (default: %(default)s)",
    )
    parser.add_argument("--most", type=int, default=2, help="documents (default: %(default)s)")
    parser.add_argument("--target-tokens", type=int, help="of the long list, without --run")
    parser.add_argument(
        "--original-window", type=int, help="below the model's own, to compare short texts"
    )
    parser.add_argument("--run", type=Path, help="run directory of a search on the model")
    parser.add_argument("--short-stage", help="of the run")
    parser.add_argument("--drop-start-tokens", action="store_true", help="of the run's factors")
    parser.add_argument("--threads", type=int, default=2, help="of llama.cpp (default: 2)")
    parser.add_argument("--record", type=Path, help="JSON file for what was found")
    parser.add_argument(
        "--longrope",
        type=Path,
        default=Path("build/release/longrope"),
        help="the program (default: %(default)s)",
    )
    arguments = parser.parse_args()
    if not arguments.run and not arguments.target_tokens:
        parser.error("--target-tokens or --run is needed")
    return exit_status("compare_exports", lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())
