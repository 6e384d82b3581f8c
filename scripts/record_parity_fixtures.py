# SPDX-License-Identifier: Apache-2.0
"""Records what Hugging Face transformers computes, for the tests of the forward pass.

Usage: python scripts/record_parity_fixtures.py

Writes the tiny random models in tests/fixtures/models and, for them and for models/demo, a
documents file and the negative log-likelihood of each token under several rescale factors in
tests/fixtures/parity (format: tests/fixtures/parity/README.md). The demo's document is sampled
from the demo's model. Everything runs in float32 with float32 angles, as transformers does; the
log-softmax is taken in float64. It needs scripts/requirements-training.txt. The fixtures are
committed: it is run again only to add one, and then says how far each is from wrong factors.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tokenize_documents
from tiny_models import CUSTOM_START_TOKENS, PHI3, TINY_MODELS, TINY_SCALE, TinyModel

if TYPE_CHECKING:
    import torch

TOLERANCE = 2e-3  # what the tests allow on one token's negative log-likelihood, in nats
SENSITIVITY = 50  # wrong factors must move some token by this many tolerances


class FixtureError(Exception):
    """A fixture that would not test what it is for."""


# --- Rescale factors, from the formulas ---------------------------------------------------------


@dataclass(frozen=True)
class Rope:
    """Position encoding of one recorded row: pair i turns by n * theta^(-2i/d) / factors[i]."""

    method: str
    factors: np.ndarray  # float64 [rotary pairs]
    attention_scale: float = 1.0
    start_tokens: int = 0  # positions below keep the unscaled angle
    native: dict | None = None  # rope_parameters with which transformers computes the same


def yarn_factors(theta: float, dimension: int, window: int, scale: float) -> np.ndarray:
    """YaRN with beta_fast 32 and beta_slow 1 (arXiv:2309.00071, section 3.2)."""

    def correction(turns: float) -> float:
        return dimension * math.log(window / (2 * math.pi * turns)) / (2 * math.log(theta))

    low = max(math.floor(correction(32)), 0)
    high = min(math.ceil(correction(1)), dimension - 1)
    ramp = np.clip((np.arange(dimension // 2) - low) / max(high - low, 0.001), 0.0, 1.0)
    return scale / (scale * (1 - ramp) + ramp)


def standard_ropes(theta: float, dimension: int, window: int, scale: float) -> dict[str, Rope]:
    pairs = dimension // 2
    base = theta * scale ** (dimension / (dimension - 2))
    linear = {"rope_type": "linear", "rope_theta": theta, "factor": scale}
    yarn = {
        "rope_type": "yarn",
        "rope_theta": theta,
        "factor": scale,
        "original_max_position_embeddings": window,
    }
    ropes = (
        Rope("none", np.ones(pairs), native={"rope_type": "default", "rope_theta": theta}),
        Rope("linear", np.full(pairs, scale), native=linear),
        Rope(
            "yarn",
            yarn_factors(theta, dimension, window, scale),
            attention_scale=0.1 * math.log(scale) + 1,
            native=yarn,
        ),
        Rope(
            "ntk",
            scale ** (2 * np.arange(pairs) / (dimension - 2)),
            native={"rope_type": "default", "rope_theta": base},
        ),
    )
    return {rope.method: rope for rope in ropes}


def su_scale(window: int, scale: float) -> float:
    return math.sqrt(1 + math.log(scale) / math.log(window))


# --- Recording ----------------------------------------------------------------------------------


class PatchedRotary:
    """Stands in for a model's rotary embedding: any factors, start tokens and attention scale."""

    def __init__(self, rope: Rope, theta: float) -> None:
        import torch

        pairs = len(rope.factors)
        exponents = np.arange(pairs) / pairs
        self.plain = torch.tensor(theta**-exponents, dtype=torch.float32)
        self.scaled = torch.tensor(theta**-exponents / rope.factors, dtype=torch.float32)
        self.rope = rope

    def __call__(self, x: torch.Tensor, position_ids: torch.Tensor):
        import torch

        positions = position_ids[..., None].float()
        kept = positions < self.rope.start_tokens
        angles = torch.where(kept, positions * self.plain, positions * self.scaled)
        angles = torch.cat([angles, angles], dim=-1)
        scale = self.rope.attention_scale
        return (angles.cos() * scale).to(x.dtype), (angles.sin() * scale).to(x.dtype)


def folder_config(folder: Path):
    """A folder's configuration for attention to every earlier token, as longrope attends."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(folder)
    if getattr(config, "sliding_window", None) is not None:
        config.sliding_window = None
    return config


def folder_rope(folder: Path, theta: float, positions: int) -> Rope | None:
    """The scaling that the folder itself asks for, from transformers' own formulas."""
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    config = folder_config(folder)
    kind = config.rope_parameters["rope_type"]
    if kind == "default":
        return None
    frequencies, scale = ROPE_INIT_FUNCTIONS[kind](config, None, seq_len=positions)
    pairs = len(frequencies)
    factors = theta ** -(np.arange(pairs) / pairs) / frequencies.double().numpy()
    return Rope("model", factors, attention_scale=scale, native=dict(config.rope_parameters))


def load_model(folder: Path, rope: Rope, theta: float):
    """The model in float32 under `rope`: by transformers' own means where it has them."""
    import torch
    from transformers import AutoModelForCausalLM

    config = folder_config(folder)
    if rope.native is not None:
        config.rope_parameters = dict(rope.native)
    model = AutoModelForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    if rope.native is None:
        model.model.rotary_emb.forward = PatchedRotary(rope, theta)
        return model
    if rope.native["rope_type"] == "longrope":
        return model  # its frequencies follow the length of the first document
    rotary = model.model.rotary_emb
    pairs = len(rope.factors)
    expected = theta ** -(np.arange(pairs) / pairs) / rope.factors
    found = rotary.inv_freq.double().numpy()
    if not np.allclose(found, expected, rtol=1e-6) or not math.isclose(
        rotary.attention_scaling, rope.attention_scale, rel_tol=1e-6
    ):
        raise FixtureError(f"{folder}: transformers' {rope.method} is not the formula's: {found}")
    return model


def token_nll(model, documents: list[np.ndarray], bos: int, positions: int) -> np.ndarray:
    """Negative log-likelihoods in nats, float32 [documents, positions - 1]."""
    import torch

    rows = []
    with torch.no_grad():
        for document in documents:
            tokens = document[: positions - (bos >= 0)].astype(np.int64)
            inputs = torch.tensor(tokens if bos < 0 else np.concatenate([[bos], tokens]))
            if len(inputs) != positions:
                raise FixtureError(f"a document has {len(document)} tokens: short of {positions}")
            logits = model(input_ids=inputs[None], use_cache=False).logits[0, :-1]
            nll = -torch.log_softmax(logits.double(), dim=-1)
            rows.append(nll.gather(1, inputs[1:, None])[:, 0].float().numpy())
    return np.stack(rows)


def record(
    folder: Path,
    theta: float,
    ropes: list[Rope],
    documents: list[np.ndarray],
    bos: int,
    positions: int,
    output: Path,
) -> None:
    """Writes the rows of one model and checks that wrong factors would be noticed."""
    import h5py

    rows = {}
    for rope in ropes:
        rows[rope.method] = token_nll(load_model(folder, rope, theta), documents, bos, positions)
        for what, wrong in wrong_ropes(rope):
            other = token_nll(load_model(folder, wrong, theta), documents, bos, positions)
            moved = float(np.abs(other - rows[rope.method]).max())
            print(
                f"{folder.name:20} {rope.method:7} mean {rows[rope.method].mean():.4f}  "
                f"{what:28} moves max {moved:.4f} = {moved / TOLERANCE:.0f} tolerances"
            )
            if moved < SENSITIVITY * TOLERANCE:
                raise FixtureError(f"{folder.name}: {rope.method} hardly differs from {what}")
    with h5py.File(output, "w", libver="earliest") as file:
        for rope in ropes:
            group = file.create_group(rope.method)
            group.attrs["attention_scale"] = rope.attention_scale
            group.attrs["rope_theta"] = theta
            group.attrs.create("start_tokens", rope.start_tokens, dtype="<i4")
            group.create_dataset("factors", data=rope.factors, dtype="<f8")
            group.create_dataset(f"{positions}/nll", data=rows[rope.method], dtype="<f4")


def wrong_ropes(rope: Rope) -> list[tuple[str, Rope]]:
    """Mistakes that the fixture must reveal."""
    factors, scale, start = rope.factors, rope.attention_scale, rope.start_tokens
    wrong = [("factors 10 % larger", Rope("wrong", factors * 1.1, scale, start))]
    if np.ptp(factors) > 0:
        wrong.append(
            ("factors moved by one pair", Rope("wrong", np.roll(factors, 1), scale, start))
        )
    if scale != 1:
        wrong.append(("attention scale left out", Rope("wrong", factors, 1.0, start)))
        wrong.append(("attention scale squared", Rope("wrong", factors, scale**2, start)))
    if start:
        wrong.append(("no start tokens", Rope("wrong", factors, scale, 0)))
        wrong.append(("a start token more", Rope("wrong", factors, scale, start + 1)))
    return wrong


def sample_document(model, bos: int, tokens: int, seed: int) -> np.ndarray:
    """A document that the model itself writes, token by token, at temperature 1."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    document: list[int] = []
    past, last = None, bos
    with torch.no_grad():
        while len(document) < tokens:
            output = model(torch.tensor([[last]]), past_key_values=past, use_cache=True)
            past = output.past_key_values
            logits = output.logits[0, -1]
            logits[bos] = -math.inf
            last = int(torch.multinomial(torch.softmax(logits, -1), 1, generator=generator))
            document.append(last)
    return np.array(document, dtype=np.int32)


def write_documents(
    path: Path, documents: list[np.ndarray], bos: int, source: str, tokenizer: bytes = b""
) -> None:
    """A documents file of made-up tokens: the digest of a text that there is not is that of ""."""
    tokenize_documents.write_tokens(
        path,
        documents,
        titles=[f"{path.stem.removesuffix('_documents')} {n + 1}" for n in range(len(documents))],
        splits=[tokenize_documents.SPLITS["search"]] * len(documents),
        attributes={
            "bos_token_id": bos,
            "tokenizer_sha256": hashlib.sha256(tokenizer).hexdigest(),
            "text_sha256": hashlib.sha256(b"").hexdigest(),
            "sources": source,
            "licences": "Apache-2.0",
        },
    )


def record_demo(model_folder: Path, output: Path) -> None:
    theta, dimension, window, positions, bos = 10000.0, 32, 256, 2048, 0
    ropes = standard_ropes(theta, dimension, window, positions / window)
    writer = load_model(model_folder, ropes["yarn"], theta)
    documents = [sample_document(writer, bos, positions - 1, seed=21)]
    source = "sampled from models/demo under YaRN at 8 times its window"
    tokenizer = (model_folder / "tokenizer.json").read_bytes()
    write_documents(output / "demo_documents.h5", documents, bos, source, tokenizer)
    nll = output / "demo_nll.h5"
    record(model_folder, theta, list(ropes.values()), documents, bos, positions, nll)


def record_tiny(tiny: TinyModel, models: Path, output: Path) -> None:
    folder = models / tiny.name
    tiny.write(folder)
    random = np.random.default_rng(tiny.seed)
    documents = [
        random.integers(2, tiny.vocabulary, length, dtype=np.int32)
        for length in tiny.document_tokens
    ]
    bos = tiny.bos_token_id
    write_documents(output / f"{tiny.name}_documents.h5", documents, bos, "random token ids")
    positions = TINY_SCALE * tiny.window
    standard = standard_ropes(tiny.theta, tiny.rotary_dim, tiny.window, TINY_SCALE)
    custom = Rope(
        "custom",
        np.array(tiny.custom_factors),
        attention_scale=su_scale(tiny.window, TINY_SCALE),
        start_tokens=CUSTOM_START_TOKENS,
    )
    ropes = [standard["none"], standard["linear"], standard["yarn"], custom]
    if tiny.family is PHI3:  # transformers gives it no scaling but its own
        ropes = [dataclasses.replace(rope, native=None) for rope in ropes]
    own = folder_rope(folder, tiny.theta, positions)
    nll = output / f"{tiny.name}_nll.h5"
    record(folder, tiny.theta, ropes + ([own] if own else []), documents, bos, positions, nll)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--demo",
        type=Path,
        default=Path("models/demo"),
        help="the demo's model (default: %(default)s)",
    )
    parser.add_argument(
        "--fixtures",
        type=Path,
        default=Path("tests/fixtures"),
        help="folder with models/ and parity/ (default: %(default)s)",
    )
    parser.add_argument("--only", metavar="NAME", help="record this model only, e.g. demo")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    output = arguments.fixtures / "parity"
    output.mkdir(parents=True, exist_ok=True)
    try:
        for tiny in TINY_MODELS:
            if arguments.only in (None, tiny.name):
                record_tiny(tiny, arguments.fixtures / "models", output)
        if arguments.only in (None, "demo"):
            record_demo(arguments.demo, output)
    except (FixtureError, tokenize_documents.DocumentsError) as error:
        print(f"record_parity_fixtures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
