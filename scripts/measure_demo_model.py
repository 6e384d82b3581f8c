# SPDX-License-Identifier: Apache-2.0
"""Measures the demo's model with transformers: the figures of its model card.

Usage: python scripts/measure_demo_model.py

Perplexity inside the training window, by position and by book, and on segments of 8 times the
window under the standard rescale factors. It needs scripts/requirements-training.txt and
documents/demo.h5. Perplexity is exp of the mean negative log-likelihood per token.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import h5py
import numpy as np
import prepare_demo
import tokenize_documents
from record_parity_fixtures import load_model, standard_ropes, su_scale, token_nll

THETA, DIMENSION, WINDOW, BOS = 10000.0, 32, 256, 0


def window_nll(model, text: str, tokenizer, windows: int) -> np.ndarray:
    """Negative log-likelihoods [windows, 255] of evenly spaced windows of a text."""
    ids = np.asarray(tokenizer.encode(text, add_special_tokens=False).ids)
    starts = tokenize_documents.segment_starts(len(ids), WINDOW - 1, windows, "text")
    documents = [ids[start : start + WINDOW - 1] for start in starts]
    return token_nll(model, documents, BOS, WINDOW)


def documents_of(path: Path, split: str) -> list[np.ndarray]:
    with h5py.File(path) as file:
        tokens, offsets = file["tokens"][:], file["offsets"][:]
        chosen = np.flatnonzero(file["split"][:] == tokenize_documents.SPLITS[split])
    return [tokens[offsets[i] : offsets[i + 1]] for i in chosen]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("models/demo"), help="%(default)s")
    parser.add_argument(
        "--documents", type=Path, default=Path("documents/demo.h5"), help="%(default)s"
    )
    parser.add_argument("--cache", type=Path, default=Path("documents/cache"), help="%(default)s")
    parser.add_argument(
        "--windows", type=int, default=256, help="windows measured in each book (%(default)s)"
    )
    parser.add_argument(
        "--splits",
        nargs="+",
        default=["search", "validation"],
        choices=list(tokenize_documents.SPLITS),
        help="splits measured at 8 times the window (default: %(default)s)",
    )
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    tokenizer, _ = tokenize_documents.load_tokenizer(arguments.model / "tokenizer.json")
    texts = prepare_demo.provide_books(arguments.cache)
    positions = 8 * WINDOW
    ropes = standard_ropes(THETA, DIMENSION, WINDOW, 8)
    model = load_model(arguments.model, ropes["none"], THETA)
    for name in ("emma", "persuasion", "northanger-abbey", "acts-revelation"):
        nll = window_nll(model, texts[name], tokenizer, arguments.windows)
        early, late = nll[:, 7:31].mean(), nll[:, -64:].mean()
        print(
            f"{name:18} {nll.size} tokens  perplexity {np.exp(nll.mean()):.2f}  "
            f"nats: mean {nll.mean():.3f}, positions 8-31 {early:.3f}, last 64 {late:.3f}",
            flush=True,
        )
    scales = {"m = 1": 1.0, "m = 0.1 ln s + 1": ropes["yarn"].attention_scale}
    scales["m = su"] = su_scale(WINDOW, 8)
    for split in arguments.splits:
        documents = documents_of(arguments.documents, split)
        for method, rope in ropes.items():
            for label, scale in scales.items():
                scaled = dataclasses.replace(rope, attention_scale=scale, native=None)
                nll = token_nll(
                    load_model(arguments.model, scaled, THETA), documents, BOS, positions
                )
                print(
                    f"{split:10} {len(documents)} x {positions}  {method:6} {label:16} "
                    f"perplexity {np.exp(nll.mean()):.2f}",
                    flush=True,
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
