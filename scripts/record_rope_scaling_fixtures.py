# SPDX-License-Identifier: Apache-2.0
"""Records the rotations that transformers gives to model folders with a scaling of their own.

Usage: python scripts/record_rope_scaling_fixtures.py

Writes tests/fixtures/rope_scaling.json: for each case a config.json and, for some lengths, the
rescale factors (what theta^(-2i/d) is divided by) and the attention scale that transformers'
ROPE_INIT_FUNCTIONS compute. It needs scripts/requirements-training.txt. The file is committed: the
script is run again only to add a case.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

SHAPE = {
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
LLAMA = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", **SHAPE}
QWEN3 = {
    "architectures": ["Qwen3ForCausalLM"],
    "model_type": "qwen3",
    "head_dim": 64,
    **SHAPE,
}
PHI3 = {"architectures": ["Phi3ForCausalLM"], "model_type": "phi3", **SHAPE}
LISTS_64 = {
    "short_factor": [round(1 + 0.013 * i, 3) for i in range(64)],
    "long_factor": [round(1.02 + 0.021 * i**1.7, 3) for i in range(64)],
}
LISTS_48 = {name: values[:48] for name, values in LISTS_64.items()}
YARN = {"rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 4096}


def four(family: dict, theta: float, window: int, scaling: dict, **more) -> dict:
    """A config.json as transformers 4 writes it."""
    return {
        **family,
        "rope_theta": theta,
        "max_position_embeddings": window,
        "rope_scaling": scaling,
        **more,
    }


def five(family: dict, theta: float, window: int, parameters: dict, **more) -> dict:
    """A config.json as transformers 5 writes it."""
    return {
        **family,
        "max_position_embeddings": window,
        "rope_parameters": {**parameters, "rope_theta": theta},
        **more,
    }


CASES = {
    "linear, 4": four(LLAMA, 1e4, 4096, {"type": "linear", "factor": 4.0}),
    "linear, 5": five(QWEN3, 1e6, 4096, {"rope_type": "linear", "factor": 2.5}),
    "dynamic, 4": four(LLAMA, 1e4, 4096, {"type": "dynamic", "factor": 2.0}),
    "dynamic, 5": five(QWEN3, 1e6, 8192, {"rope_type": "dynamic", "factor": 4.0}),
    "yarn, 4": four(LLAMA, 1e4, 32768, {**YARN, "type": "yarn"}),
    "yarn, 5": five(QWEN3, 1e6, 32768, YARN),
    "yarn with an attention factor": five(LLAMA, 5e5, 32768, {**YARN, "attention_factor": 1.07}),
    "yarn with other turns": five(LLAMA, 1e4, 32768, {**YARN, "beta_fast": 64, "beta_slow": 2.5}),
    "yarn with a ramp between pairs": five(LLAMA, 1e4, 32768, {**YARN, "truncate": False}),
    "yarn with equal multipliers": five(
        LLAMA, 1e4, 32768, {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}
    ),
    "yarn with multipliers": five(
        LLAMA, 1e4, 32768, {**YARN, "mscale": 0.707, "mscale_all_dim": 1.2}
    ),
    "yarn with one multiplier": five(LLAMA, 1e4, 32768, {**YARN, "mscale": 0.707}),
    "yarn without a factor": five(LLAMA, 1e4, 32768, {**YARN, "factor": None}),
    "yarn of a short window": five(
        LLAMA, 1e4, 32, {**YARN, "original_max_position_embeddings": 16}
    ),
    "yarn whose window the top level names": five(
        LLAMA, 1e4, 32768, YARN, original_max_position_embeddings=2048
    ),
    "llama3, 4": four(
        LLAMA,
        5e5,
        131072,
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
    ),
    "llama3, 5": five(
        LLAMA,
        5e5,
        131072,
        {
            "rope_type": "llama3",
            "factor": 32.0,
            "low_freq_factor": 1.5,
            "high_freq_factor": 6.0,
            "original_max_position_embeddings": 4096,
        },
    ),
    "longrope of a Phi-3, 4": four(
        PHI3,
        1e4,
        131072,
        {"type": "longrope", **LISTS_64},
        original_max_position_embeddings=4096,
    ),
    "longrope of a Phi-3 that rotates in part, 5": five(
        PHI3,
        1e4,
        131072,
        {"rope_type": "longrope", "partial_rotary_factor": 0.75, **LISTS_48},
        original_max_position_embeddings=4096,
    ),
    "longrope with a factor": five(
        LLAMA,
        1e4,
        131072,
        {
            "rope_type": "longrope",
            "factor": 16.0,
            "original_max_position_embeddings": 4096,
            **LISTS_64,
        },
    ),
    "longrope with an attention factor": five(
        LLAMA,
        1e4,
        131072,
        {
            "rope_type": "longrope",
            "factor": 16.0,
            "attention_factor": 1.31,
            "original_max_position_embeddings": 4096,
            **LISTS_64,
        },
    ),
    "longrope within its window": five(
        LLAMA,
        1e4,
        4096,
        {"rope_type": "longrope", "original_max_position_embeddings": 4096, **LISTS_64},
    ),
}
LENGTHS = (1024, 4096, 4097, 16384, 131072)


def rotations(config_text: str) -> list[dict]:
    """The rotation at each length: one entry where it does not depend on it."""
    from transformers import AutoConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "config.json").write_text(config_text)
        config = AutoConfig.from_pretrained(folder)
    parameters = config.rope_parameters
    entries = []
    for positions in LENGTHS:
        compute = ROPE_INIT_FUNCTIONS[parameters["rope_type"]]
        frequencies, scale = compute(config, None, seq_len=positions)
        pairs = len(frequencies)
        unscaled = parameters["rope_theta"] ** -(np.arange(pairs) / pairs)
        factors = unscaled / frequencies.double().numpy()
        entries.append(
            {
                "positions": positions,
                "attention_scale": scale,
                # float32 frequencies: nine digits say all that transformers knows
                "factors": [float(f"{factor:.9g}") for factor in factors],
            }
        )
    same = all(entry["factors"] == entries[0]["factors"] for entry in entries)
    return entries[:1] if same else entries


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("tests/fixtures/rope_scaling.json"),
        help="file to write (default: %(default)s)",
    )
    arguments = parser.parse_args()
    lines = []
    for name, config in CASES.items():
        case = {
            "name": name,
            "config": config,
            "rotations": rotations(json.dumps(config)),
        }
        lines.append(json.dumps(case))
        print(f"{name}: {len(case['rotations'])} lengths")
    arguments.output.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
