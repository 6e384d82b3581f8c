# SPDX-License-Identifier: Apache-2.0
"""The tiny random models whose losses tests/fixtures/parity holds; imported, not run.

Every family that longrope reads has one: Llama, Mistral, Qwen2, Qwen3, Phi-3. Their weights are
scaled so that attention is uneven and a wrong rotation shows.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import torch


@dataclass(frozen=True)
class Family:
    """What sets the layers of an architecture apart from Llama's."""

    architecture: str
    model_type: str
    biases: tuple[str, ...] = ()  # projections of the attention that have one
    head_norms: bool = False
    fused: bool = False  # qkv_proj and gate_up_proj


LLAMA = Family("LlamaForCausalLM", "llama")
LLAMA_WITH_BIASES = Family("LlamaForCausalLM", "llama", biases=("q", "k", "v", "o"))
MISTRAL = Family("MistralForCausalLM", "mistral")
QWEN2 = Family("Qwen2ForCausalLM", "qwen2", biases=("q", "k", "v"))
QWEN3 = Family("Qwen3ForCausalLM", "qwen3", head_norms=True)
PHI3 = Family("Phi3ForCausalLM", "phi3", fused=True)


@dataclass(frozen=True)
class TinyModel:
    """A random model whose shapes differ from the demo's in the way that its name says."""

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
    window: int  # original; max_position_embeddings too, where more_config does not say another
    theta: float
    epsilon: float
    tied: bool
    bos_token_id: int
    shards: int
    document_tokens: tuple[int, ...]
    family: Family = LLAMA
    rotary_share: float = 1.0
    rope_in_parameters: bool = False  # rope_theta inside rope_parameters, as transformers 5 writes
    scaling: dict = field(default_factory=dict)  # the folder's own, without rope_theta
    more_config: dict = field(default_factory=dict)
    custom_factors: tuple[float, ...] = field(default=())

    @property
    def rotary_dim(self) -> int:
        return int(self.head_dim * self.rotary_share)

    def config(self) -> dict:
        config = {
            "architectures": [self.family.architecture],
            "model_type": self.family.model_type,
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
            "attention_bias": "o" in self.family.biases,
            "mlp_bias": False,
            "bos_token_id": None if self.bos_token_id < 0 else self.bos_token_id,
            "eos_token_id": None,
            "torch_dtype": self.dtype,
        }
        if self.family is PHI3:
            config["pad_token_id"] = None  # its default lies outside a small vocabulary
        if self.head_dim * self.heads != self.hidden or self.family is QWEN3:
            config["head_dim"] = self.head_dim
        if self.rotary_share != 1.0:
            config["partial_rotary_factor"] = self.rotary_share
        if self.rope_in_parameters:
            own = self.scaling or {"rope_type": "default"}
            config["rope_parameters"] = {**own, "rope_theta": self.theta}
        else:
            config["rope_theta"] = self.theta
            if self.scaling:
                config["rope_scaling"] = dict(self.scaling)
        return config | self.more_config

    def weights(self) -> dict[str, torch.Tensor]:
        """Random weights. Queries and keys are large, so that attention is uneven and the
        positions matter; each tensor differs from any transposed or neighbouring one."""
        import torch

        generator = torch.Generator().manual_seed(self.seed)

        def matrix(rows: int, columns: int, gain: float) -> torch.Tensor:
            return torch.randn(rows, columns, generator=generator) * gain / math.sqrt(columns)

        def norm(size: int = self.hidden, centre: float = 1.0) -> torch.Tensor:
            return centre + 0.2 * torch.randn(size, generator=generator)

        hidden, q_width = self.hidden, self.heads * self.head_dim
        kv_width = self.kv_heads * self.head_dim
        weights = {
            "model.embed_tokens.weight": torch.randn(self.vocabulary, hidden, generator=generator)
            * (3.0 / math.sqrt(hidden))
        }
        for layer in range(self.layers):
            prefix = f"model.layers.{layer}."
            weights[prefix + "input_layernorm.weight"] = norm()
            query = matrix(q_width, hidden, 2.0)
            key = matrix(kv_width, hidden, 2.0)
            value = matrix(kv_width, hidden, 1.5)
            if self.family.fused:
                weights[prefix + "self_attn.qkv_proj.weight"] = torch.cat([query, key, value])
            else:
                weights[prefix + "self_attn.q_proj.weight"] = query
                weights[prefix + "self_attn.k_proj.weight"] = key
                weights[prefix + "self_attn.v_proj.weight"] = value
            weights[prefix + "self_attn.o_proj.weight"] = matrix(hidden, q_width, 1.5)
            for projection in self.family.biases:
                width = {"q": q_width, "k": kv_width, "v": kv_width, "o": hidden}[projection]
                weights[prefix + f"self_attn.{projection}_proj.bias"] = 0.5 * torch.randn(
                    width, generator=generator
                )
            if self.family.head_norms:  # they undo the gain of the projections
                weights[prefix + "self_attn.q_norm.weight"] = norm(self.head_dim, 2.0)
                weights[prefix + "self_attn.k_norm.weight"] = norm(self.head_dim, 2.0)
            weights[prefix + "post_attention_layernorm.weight"] = norm()
            gate = matrix(self.mlp, hidden, 1.0)
            up = matrix(self.mlp, hidden, 1.0)
            if self.family.fused:
                weights[prefix + "mlp.gate_up_proj.weight"] = torch.cat([gate, up])
            else:
                weights[prefix + "mlp.gate_proj.weight"] = gate
                weights[prefix + "mlp.up_proj.weight"] = up
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
        index = {
            "metadata": {"total_size": total},
            "weight_map": dict(sorted(weight_map.items())),
        }
        (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def save_shard(path: Path, weights: dict[str, torch.Tensor]) -> None:
    from safetensors.torch import save_file

    save_file(weights, str(path), metadata={"format": "pt"})
    path.chmod(0o644)  # the library leaves it to the owner alone


def rising(pairs: int, first: float, last: float) -> tuple[float, ...]:
    """A factor vector for a table of models, written out to three digits."""
    return tuple(round(first + (last - first) * (i / (pairs - 1)) ** 1.5, 3) for i in range(pairs))


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
    TinyModel(
        "tiny-llama3-biases",
        seed=14,
        dtype="float16",
        vocabulary=180,
        hidden=48,
        layers=2,
        heads=2,
        kv_heads=1,
        head_dim=64,
        mlp=96,
        window=64,
        theta=500000.0,
        epsilon=1e-5,
        tied=False,
        bos_token_id=0,
        shards=1,
        document_tokens=(255, 270),
        family=LLAMA_WITH_BIASES,
        scaling={
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
        more_config={"max_position_embeddings": 256},
        custom_factors=rising(32, 1.0, 6.0),
    ),
    TinyModel(
        "tiny-mistral",
        seed=15,
        dtype="bfloat16",
        vocabulary=160,
        hidden=32,
        layers=2,
        heads=2,
        kv_heads=1,
        head_dim=128,
        mlp=64,
        window=64,
        theta=10000.0,
        epsilon=1e-5,
        tied=False,
        bos_token_id=1,
        shards=2,
        document_tokens=(260, 255),
        family=MISTRAL,
        more_config={"max_position_embeddings": 512, "sliding_window": 64},
        custom_factors=rising(64, 1.0, 5.0),
    ),
    TinyModel(
        "tiny-qwen2",
        seed=16,
        dtype="bfloat16",
        vocabulary=220,
        hidden=48,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=12,
        mlp=96,
        window=64,
        theta=1000000.0,
        epsilon=1e-6,
        tied=True,
        bos_token_id=-1,
        shards=1,
        document_tokens=(256, 260),
        family=QWEN2,
        scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
        more_config={
            "use_sliding_window": False,
            "sliding_window": 512,
            "max_window_layers": 1,
        },
        custom_factors=(1.0, 1.2, 1.9, 2.6, 3.4, 5.1),
    ),
    TinyModel(
        "tiny-qwen3",
        seed=17,
        dtype="bfloat16",
        vocabulary=150,
        hidden=32,
        layers=2,
        heads=2,
        kv_heads=1,
        head_dim=128,
        mlp=64,
        window=64,
        theta=1000000.0,
        epsilon=1e-6,
        tied=True,
        bos_token_id=-1,
        shards=1,
        document_tokens=(256, 300),
        family=QWEN3,
        rope_in_parameters=True,
        scaling={
            "rope_type": "yarn",
            "factor": 4.0,
            "original_max_position_embeddings": 64,
            "beta_fast": 16.0,
            "beta_slow": 2.0,
            "truncate": False,
            "attention_factor": 1.25,
        },
        more_config={"max_position_embeddings": 256},
        custom_factors=rising(64, 1.0, 4.5),
    ),
    TinyModel(
        "tiny-phi3",
        seed=18,
        dtype="bfloat16",
        vocabulary=100,
        hidden=96,
        layers=2,
        heads=1,
        kv_heads=1,
        head_dim=96,
        mlp=32,
        window=64,
        theta=10000.0,
        epsilon=1e-5,
        tied=False,
        bos_token_id=1,
        shards=1,
        document_tokens=(255, 280),
        family=PHI3,
        scaling={
            "type": "longrope",
            "short_factor": rising(48, 1.0, 1.8),
            "long_factor": rising(48, 1.05, 7.5),
        },
        more_config={
            "max_position_embeddings": 256,
            "original_max_position_embeddings": 64,
        },
        custom_factors=rising(48, 1.0, 5.5),
    ),
    TinyModel(
        "tiny-phi3-partial",
        seed=19,
        dtype="float16",
        vocabulary=170,
        hidden=64,
        layers=2,
        heads=4,
        kv_heads=2,
        head_dim=16,
        mlp=96,
        window=64,
        theta=10000.0,
        epsilon=1e-5,
        tied=True,
        bos_token_id=1,
        shards=1,
        document_tokens=(255, 280),
        family=PHI3,
        rotary_share=0.75,
        rope_in_parameters=True,
        scaling={
            "rope_type": "longrope",
            "short_factor": (1.0, 1.0, 1.1, 1.2, 1.3, 1.5),
            "long_factor": (1.0, 1.3, 2.2, 3.1, 4.4, 6.2),
            "original_max_position_embeddings": 64,
            "attention_factor": 1.15,
        },
        more_config={
            "max_position_embeddings": 256,
            "original_max_position_embeddings": 64,
        },
        custom_factors=(1.0, 1.4, 1.9, 2.7, 3.8, 5.2),
    ),
)
TINY_SCALE = 4
CUSTOM_START_TOKENS = 3
