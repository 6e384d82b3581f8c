# SPDX-License-Identifier: Apache-2.0
"""Compares the losses of longrope with those of Hugging Face transformers, token by token.

Usage: python scripts/compare_with_transformers.py --model models/smollm2-135m \\
           --documents documents/smollm2.h5 --tokens 4096 --methods none,yarn --target-tokens 16384

Runs `longrope evaluate --per-token` in float32 with float32 angles, as transformers computes, and
the same documents through transformers in float32 on the CPU. transformers builds the rotations of
none, pi, ntk and yarn by its own means, each with its own attention scale, from the configuration
alone; those of other methods come from the factors that longrope states. Prints, for each method,
the perplexity of both, its relative error, and the largest difference of a token's negative
log-likelihood. Exit status: 0 within the limits, 1 beyond them or in error, 2 usage. It needs
scripts/requirements-training.txt.
"""

from __future__ import annotations

import argparse
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from record_parity_fixtures import FixtureError, Rope, load_model, standard_ropes
from rescale_factors import FactorsError, RotaryFacts, read_facts

if TYPE_CHECKING:
    import torch

TRANSFORMERS_NAMES = {"none": "none", "pi": "linear", "ntk": "ntk", "yarn": "yarn"}
PROJECTED_ROWS = 256  # tokens whose logits are held at a time


class ComparisonError(Exception):
    """Something the user can act on: what was attempted, what was found, what to do."""


@dataclass(frozen=True)
class Scores:
    """What longrope computed under one method; `nll` is float32 [documents, tokens - 1]."""

    rope: Rope
    nll: np.ndarray


@dataclass(frozen=True)
class Difference:
    """How far two arrays of losses are apart; `document` and `token` are where it is largest."""

    perplexity: float
    reference_perplexity: float
    largest: float
    document: int
    token: int

    @property
    def relative_error(self) -> float:
        return abs(self.perplexity / self.reference_perplexity - 1)


def difference(nll: np.ndarray, reference: np.ndarray) -> Difference:
    """@param nll, reference  in nats, float32 [documents, tokens - 1]"""
    if nll.shape != reference.shape:
        raise ComparisonError(f"{nll.shape} losses cannot be compared with {reference.shape}")
    ours, theirs = nll.astype(np.float64), reference.astype(np.float64)
    apart = np.abs(ours - theirs)
    apart[~np.isfinite(apart)] = math.inf
    document, token = np.unravel_index(int(np.argmax(apart)), apart.shape)
    return Difference(
        math.exp(ours.mean()),
        math.exp(theirs.mean()),
        float(apart[document, token]),
        int(document),
        int(token) + 1,  # the loss at i is that of token i + 1
    )


# --- longrope -----------------------------------------------------------------------------------


def run_longrope(arguments: argparse.Namespace, method: str, output: Path) -> None:
    """Scores `method` under the attention scale that transformers has for it."""
    command = [
        *(str(arguments.longrope), "evaluate"),
        *("--model", str(arguments.model), "--documents", str(arguments.documents)),
        *("--split", arguments.split, "--tokens", str(arguments.tokens), "--methods", method),
        *("--target-tokens", str(arguments.target_tokens or arguments.tokens)),
        *("--attention-scale", attention_scale(method, arguments.attention_scale)),
        *("--precision", "f32", "--angles", "float32", "--per-token", str(output)),
    ]
    if arguments.backend:
        command += ["--backend", arguments.backend]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError as error:
        raise ComparisonError(f"cannot run {arguments.longrope}: {error.strerror}") from error
    if done.returncode != 0:
        raise ComparisonError(
            f"{' '.join(command)} ended with status {done.returncode}; its message is above"
        )


def attention_scale(method: str, wish: str | None) -> str:
    """What --attention-scale gets: transformers scales the attention for yarn alone."""
    if method in TRANSFORMERS_NAMES:
        return "yarn" if method == "yarn" else "none"
    return wish or "su"


def read_scores(file: Path, method: str, tokens: int) -> Scores:
    import h5py

    with h5py.File(file) as opened:
        group = opened[method]
        rope = Rope(
            method,
            group["factors"][:],
            attention_scale=float(group.attrs["attention_scale"]),
            start_tokens=int(group.attrs["start_tokens"]),
        )
        return Scores(rope, group[f"{tokens}/nll"][:])


# --- transformers -------------------------------------------------------------------------------


def transformers_rope(stated: Rope, facts: RotaryFacts, target_tokens: int) -> Rope:
    """The rotations for transformers: its own ones where it has the method.

    Raises ComparisonError where those are not what longrope states.
    """
    if stated.method not in TRANSFORMERS_NAMES:
        return stated
    scale = max(1.0, target_tokens / facts.window)
    name = TRANSFORMERS_NAMES[stated.method]
    if scale == 1:
        name = "none"  # transformers refuses a factor of 1, and there is nothing to stretch
    own = standard_ropes(facts.theta, facts.rotary_dim, facts.window, scale)[name]
    if not np.allclose(stated.factors, own.factors, rtol=1e-9, atol=0) or not math.isclose(
        stated.attention_scale, own.attention_scale, rel_tol=1e-9
    ):
        raise ComparisonError(
            f"{stated.method}: longrope's factors {stated.factors} or attention scale "
            f"{stated.attention_scale} are not those of transformers, {own.factors} and "
            f"{own.attention_scale}"
        )
    return own


def transformers_nll(
    model, documents: list[np.ndarray], on_document=lambda number: None
) -> np.ndarray:
    """Negative log-likelihoods in nats, float32 [documents, tokens - 1]; each document is whole.

    The logits of a document are never held at once: at 16,384 tokens they are 3 GB.
    """
    import torch

    rows = []
    with torch.no_grad():
        for number, document in enumerate(documents):
            inputs = torch.tensor(document.astype(np.int64))
            hidden = model.model(input_ids=inputs[None], use_cache=False).last_hidden_state[0]
            row: list[torch.Tensor] = []
            for begin in range(0, len(inputs) - 1, PROJECTED_ROWS):
                end = min(begin + PROJECTED_ROWS, len(inputs) - 1)
                logits = model.lm_head(hidden[begin:end]).double()
                nll = -torch.log_softmax(logits, dim=-1)
                row.append(nll.gather(1, inputs[begin + 1 : end + 1, None])[:, 0].float())
            rows.append(torch.cat(row).numpy())
            on_document(number)
    return np.stack(rows)


def read_documents(file: Path, split: str, tokens: int) -> tuple[list[np.ndarray], list[str]]:
    """Token ids and titles of a split's documents, with BOS where the file has one."""
    import h5py
    from tokenize_documents import NO_BOS, SPLITS

    with h5py.File(file) as opened:
        offsets, splits = opened["offsets"][:], opened["split"][:]
        bos = int(opened.attrs["bos_token_id"])
        documents, titles = [], []
        for number in np.flatnonzero(splits == SPLITS[split]):
            ids = opened["tokens"][offsets[number] : offsets[number + 1]]
            if bos != NO_BOS:
                ids = np.concatenate([[bos], ids])
            if len(ids) < tokens:
                raise ComparisonError(f"document {number} of {file} fills {len(ids)} positions")
            documents.append(ids[:tokens])
            titles.append(opened["titles"][number].decode("utf-8"))
    if not documents:
        raise ComparisonError(f"{file} has no document of the split {split}")
    return documents, titles


# --- The comparison -----------------------------------------------------------------------------


def compare_each(
    arguments: argparse.Namespace,
    other: str,
    documents: tuple[list[np.ndarray], list[str]],
    their_nll: Callable[[Scores, Path], np.ndarray],
) -> bool:
    """Prints a row for each method; whether all are within the limits.

    `documents` are the first ones of the split and their titles; `their_nll` scores them with the
    other program from what longrope states, and may use the folder, which is temporary.
    """
    tokens, titles = documents
    target = arguments.target_tokens or arguments.tokens
    print(
        f"{arguments.model}: {len(tokens)} documents ({arguments.split}), {arguments.tokens} "
        f"tokens, vectors for {target}\n\n{'method':14}{'longrope':>12}{other:>14}"
        f"{'relative error':>16}{'max |dNLL|':>12}  where",
        flush=True,
    )
    within = True
    for method in arguments.methods.split(","):
        with tempfile.TemporaryDirectory(prefix="compare-") as folder:
            output = Path(folder) / "tokens.h5"
            run_longrope(arguments, method, output)
            scores = read_scores(output, method, arguments.tokens)
            found = difference(scores.nll[: len(tokens)], their_nll(scores, Path(folder)))
        good = (
            found.relative_error <= arguments.max_relative_error
            and found.largest <= arguments.max_nll_difference
        )
        within = within and good
        print(
            f"{method:14}{found.perplexity:12.5f}{found.reference_perplexity:14.5f}"
            f"{found.relative_error:16.2e}{found.largest:12.2e}  "
            f"{titles[found.document]}, token {found.token}{'' if good else '  BEYOND THE LIMITS'}",
            flush=True,
        )
    print(
        f"\nlimits: relative error {arguments.max_relative_error:.0e}, "
        f"max |dNLL| {arguments.max_nll_difference:.0e} nats"
    )
    return within


def compare(arguments: argparse.Namespace) -> bool:
    """Prints a row for each method; whether all are within the limits."""
    facts = read_facts(arguments.model)
    documents = read_documents(arguments.documents, arguments.split, arguments.tokens)
    target = arguments.target_tokens or arguments.tokens

    def their_nll(scores: Scores, _: Path) -> np.ndarray:
        model = load_model(
            arguments.model, transformers_rope(scores.rope, facts, target), facts.theta
        )
        model.set_attn_implementation("sdpa")  # the attention weights of a head are never whole
        return transformers_nll(model, documents[0])

    return compare_each(arguments, "transformers", documents, their_nll)


def comparison_parser(description: str | None) -> argparse.ArgumentParser:
    """What every comparison is told."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, help="Hugging Face folder")
    parser.add_argument("--documents", type=Path, required=True, help="documents file (HDF5)")
    parser.add_argument(
        "--split",
        choices=("search", "validation", "heldout"),
        default="heldout",
        help="whose documents are compared (default: %(default)s)",
    )
    parser.add_argument("--tokens", type=int, required=True, help="positions of each document")
    parser.add_argument(
        "--target-tokens", type=int, help="length that vectors are built for (default: --tokens)"
    )
    parser.add_argument(
        "--methods",
        default="none,pi,ntk,yarn",
        help="methods of `longrope evaluate`, with commas between them (default: %(default)s)",
    )
    parser.add_argument(
        "--attention-scale", help="of methods that transformers does not have (default: su)"
    )
    parser.add_argument("--backend", help="of longrope (default: the fastest of this machine)")
    parser.add_argument(
        "--longrope",
        type=Path,
        default=Path("build/release/longrope"),
        help="the program (default: %(default)s)",
    )
    parser.add_argument(
        "--max-relative-error",
        type=float,
        default=2e-5,
        help="largest relative error of the perplexity (default: %(default)s)",
    )
    parser.add_argument(
        "--max-nll-difference",
        type=float,
        default=2e-3,
        help="largest difference of a token's loss, in nats (default: %(default)s)",
    )
    return parser


def exit_status(name: str, compare: Callable[[], bool]) -> int:
    """Of a script that compares; its errors go to standard error under its name."""
    try:
        return 0 if compare() else 1
    except (ComparisonError, FactorsError, FixtureError) as error:
        print(f"{name}: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(
            f"{name}: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh --training",
            file=sys.stderr,
        )
    return 1


def main() -> int:
    arguments = comparison_parser(__doc__).parse_args()
    return exit_status("compare_with_transformers", lambda: compare(arguments))


if __name__ == "__main__":
    sys.exit(main())
