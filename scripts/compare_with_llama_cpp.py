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
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from compare_with_transformers import (
    ComparisonError,
    Scores,
    compare_each,
    comparison_parser,
    exit_status,
    read_documents,
)
from gguf_model import GgufError
from gguf_writing import ROPE_FREQUENCIES, write_llama
from record_parity_fixtures import Rope

if TYPE_CHECKING:
    import gguf

FLOAT32_CACHE = 0  # GGML_TYPE_F32
FLASH_ATTENTION_OFF = 0  # LLAMA_FLASH_ATTN_TYPE_DISABLED
PADDING = 256  # llama.cpp's context is a multiple of it


# --- The model as GGUF --------------------------------------------------------------------------


def write_gguf(
    path: Path, folder: Path, rope: Rope | None, positions: int, kind: str = "F32"
) -> None:
    """The model of `folder` without a vocabulary, under `rope`; without one, as it is.

    @param kind  GGUF's name of the type that matrices are stored in: F32, F16, BF16, Q4_1, ...
    """
    if rope is None:
        rope = Rope("none", np.empty(0))
    if rope.start_tokens:
        raise ComparisonError(f"{rope.method} has start tokens, which llama.cpp does not know")

    def add_rope(writer: gguf.GGUFWriter) -> None:
        writer.add_rope_scaling_attn_factors(rope.attention_scale)
        if len(rope.factors) > 0:
            writer.add_tensor(ROPE_FREQUENCIES, rope.factors.astype("<f4"))

    try:
        write_llama(path, folder, positions, add_rope, kind)
    except GgufError as error:
        raise ComparisonError(str(error)) from error


# --- llama.cpp ----------------------------------------------------------------------------------


def llama_cpp_nll(
    gguf_file: Path, documents: list[np.ndarray], threads: int, context_tokens: int = 0
) -> np.ndarray:
    """Negative log-likelihoods in nats, float32 [documents, tokens - 1].

    @param context_tokens  that llama.cpp allocates, by which it chooses between two lists of
                           factors; 0: as many as the documents need, in steps of 256
    """
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
    parameters.n_batch = -(-tokens // PADDING) * PADDING
    parameters.n_ctx = context_tokens or parameters.n_batch
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
