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
import hashlib
import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tokenize_documents

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


# --- Tiny models --------------------------------------------------------------------------------


@dataclass(frozen=True)
class TinyModel:
    """A random Llama whose shapes differ from the demo's in the way that its name says."""

    name: str
    seed: int
    dtype: str
    vocabulary: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    window: int
    theta: float
    epsilon: float
    tied: bool
    bos_token_id: int
    shards: int
    document_tokens: tuple[int, ...]
    rope_in_parameters: bool = False  # rope_theta inside rope_parameters, as transformers 5 writes
    custom_factors: tuple[float, ...] = field(default=())

    def config(self) -> dict:
        config = {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocabulary,
            "hidden_size": self.hidden,
            "intermediate_size": self.mlp,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "hidden_act": "silu",
            "max_position_embeddings": self.window,
            "rms_norm_eps": self.epsilon,
            "tie_word_embeddings": self.tied,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": None if self.bos_token_id < 0 else self.bos_token_id,
            "eos_token_id": None,
            "torch_dtype": self.dtype,
        }
        if self.head_dim * self.heads != self.hidden:
            config["head_dim"] = self.head_dim
        if self.rope_in_parameters:
            config["rope_parameters"] = {"rope_type": "default", "rope_theta": self.theta}
        else:
            config["rope_theta"] = self.theta
        return config

    def weights(self) -> dict[str, torch.Tensor]:
        """Random weights. Queries and keys are large, so that attention is uneven and the
        positions matter; each tensor differs from any transposed or neighbouring one."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)

        def matrix(rows: int, columns: int, gain: float) -> torch.Tensor:
            return torch.randn(rows, columns, generator=generator) * gain / math.sqrt(columns)

        def norm() -> torch.Tensor:
            return 1 + 0.2 * torch.randn(self.hidden, generator=generator)

        hidden, kv_width, q_width = (
            self.hidden,
            self.kv_heads * self.head_dim,
            self.heads * self.head_dim,
        )
        weights = {
            "model.embed_tokens.weight": torch.randn(self.vocabulary, hidden, generator=generator)
            * (3.0 / math.sqrt(hidden))
        }
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}."
            weights[prefix + "input_layernorm.weight"] = norm()
            weights[prefix + "self_attn.q_proj.weight"] = matrix(q_width, hidden, 2.0)
            weights[prefix + "self_attn.k_proj.weight"] = matrix(kv_width, hidden, 2.0)
            weights[prefix + "self_attn.v_proj.weight"] = matrix(kv_width, hidden, 1.5)
            weights[prefix + "self_attn.o_proj.weight"] = matrix(hidden, q_width, 1.5)
            weights[prefix + "post_attention_layernorm.weight"] = norm()
            weights[prefix + "mlp.gate_proj.weight"] = matrix(self.mlp, hidden, 1.0)
            weights[prefix + "mlp.up_proj.weight"] = matrix(self.mlp, hidden, 1.0)
            weights[prefix + "mlp.down_proj.weight"] = matrix(hidden, self.mlp, 1.0)
        weights["model.norm.weight"] = norm()
        if not self.tied:
            weights["lm_head.weight"] = matrix(self.vocabulary, hidden, 2.5)
        dtype = getattr(torch, self.dtype)
        return {name: tensor.to(dtype).contiguous() for name, tensor in weights.items()}

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config(), indent=2) + "\n")
        weights = self.weights()
        if self.shards == 1:
            save_shard(folder / "model.safetensors", weights)
            return
        names = list(weights)
        per_shard = -(-len(names) // self.shards)
        weight_map = {}
        for shard in range(self.shards):
            file = f"model-{shard + 1:05d}-of-{self.shards:05d}.safetensors"
            part = names[shard * per_shard : (shard + 1) * per_shard]
            save_shard(folder / file, {name: weights[name] for name in part})
            weight_map.update(dict.fromkeys(part, file))
        total = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def save_shard(path: Path, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(weights, str(path), metadata={"format": "pt"})
    path.chmod(0o644)  # the library leaves it to the owner alone


TINY_MODELS = (
    TinyModel(
        "tiny-gqa-tied",
        seed=11,
        dtype="float32",
        vocabulary=256,
        hidden=32,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=8,
        mlp=80,
        window=64,
        theta=10000.0,
        epsilon=1e-5,
        tied=True,
        bos_token_id=1,
        shards=1,
        document_tokens=(255, 300),
        custom_factors=(1.0, 1.37, 2.9, 4.6),
    ),
    TinyModel(
        "tiny-untied-sharded",
        seed=12,
        dtype="bfloat16",
        vocabulary=300,
        hidden=48,
        layers=2,
        heads=4,
        kv_heads=1,
        head_dim=16,
        mlp=112,
        window=64,
        theta=10000.0,
        epsilon=1e-6,
        tied=False,
        bos_token_id=-1,
        shards=3,
        document_tokens=(256, 311, 270),
        custom_factors=(1.0, 1.0, 1.25, 1.8, 2.2, 3.1, 3.9, 5.0),
    ),
    TinyModel(
        "tiny-mha-f16",
        seed=13,
        dtype="float16",
        vocabulary=200,
        hidden=48,
        layers=3,
        heads=4,
        kv_heads=4,
        head_dim=12,
        mlp=96,
        window=64,
        theta=500000.0,
        epsilon=1e-5,
        tied=True,
        bos_token_id=0,
        shards=1,
        document_tokens=(280, 255),
        rope_in_parameters=True,
        custom_factors=(1.1, 1.5, 2.0, 3.3, 3.3, 4.9),
    ),
)
TINY_SCALE = 4
CUSTOM_START_TOKENS = 3


# --- Recording ----------------------------------------------------------------------------------


class PatchedRotary:
    """Stands in for a Llama's rotary embedding: any factors, start tokens and attention scale."""

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


def load_model(folder: Path, rope: Rope, theta: float):
    """The model in float32 under `rope`: by transformers' own means where it has them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig.from_pretrained(folder)
    if rope.native is not None:
        config.rope_parameters = dict(rope.native)
    model = LlamaForCausalLM.from_pretrained(
        folder, config=config, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    if rope.native is None:
        model.model.rotary_emb.forward = PatchedRotary(rope, theta)
        return model
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
    standard = standard_ropes(tiny.theta, tiny.head_dim, tiny.window, TINY_SCALE)
    custom = Rope(
        "custom",
        np.array(tiny.custom_factors),
        attention_scale=su_scale(tiny.window, TINY_SCALE),
        start_tokens=CUSTOM_START_TOKENS,
    )
    ropes = [standard["none"], standard["linear"], standard["yarn"], custom]
    nll = output / f"{tiny.name}_nll.h5"
    record(folder, tiny.theta, ropes, documents, bos, TINY_SCALE * tiny.window, nll)


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
