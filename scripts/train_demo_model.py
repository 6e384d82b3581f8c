# SPDX-License-Identifier: Apache-2.0
"""Trains the small Llama model of the demo and its tokenizer; takes about 20 minutes on one core.

Usage: python scripts/train_demo_model.py

The weights in models/demo were made by this program; it is run again only to change the model.
It needs scripts/requirements-training.txt. The books come from two Debian packages (see
scripts/prepare_demo.py); four novels and the Bible up to John are trained on, the rest is not.
One thread, one seed: the same machine and the same PyTorch give the same weights again.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import demo_texts
import prepare_demo

if TYPE_CHECKING:
    import torch
    from tokenizers import Tokenizer

WINDOW_TOKENS = 256  # BOS and 255 tokens; 256 are predicted
VOCABULARY = 2048
BOS_ID = 0
BOS_TOKEN = "<|bos|>"

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": VOCABULARY,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 6,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,
    "hidden_act": "silu",
    "max_position_embeddings": WINDOW_TOKENS,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-5,
    "initializer_range": 0.02,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "attention_dropout": 0.0,
    "mlp_bias": False,
    "bos_token_id": BOS_ID,
    "eos_token_id": None,
    "pad_token_id": None,
    "use_cache": True,
    "torch_dtype": "float16",
}


def train_tokenizer(texts: list[str]) -> Tokenizer:
    """Byte-level BPE over the training texts; id 0 is BOS and never comes out of a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[BOS_TOKEN],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    # So that programs which tokenize for the model begin with BOS, as its training windows do.
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BOS_TOKEN} $A", special_tokens=[(BOS_TOKEN, BOS_ID)]
    )
    return tokenizer


def learning_rate_factor(step: int, steps: int) -> float:
    """Linear warm-up over 50 steps, constant to 40 %, then linear decay to 2 %."""
    warm_up, decay_start, end = 50, 0.4 * steps, 0.02
    if step < warm_up:
        return (step + 1) / warm_up
    if step < decay_start:
        return 1.0
    return 1.0 - (1.0 - end) * (step - decay_start) / (steps - decay_start)


def batches(tokens: torch.Tensor, batch: int, generator: torch.Generator):
    """Endless batches [batch, 256] of consecutive tokens: every epoch starts at another phase and
    visits its non-overlapping windows in a random order."""
    import torch

    while True:
        phase = int(torch.randint(WINDOW_TOKENS, (1,), generator=generator))
        windows = (len(tokens) - phase) // WINDOW_TOKENS
        view = tokens[phase : phase + windows * WINDOW_TOKENS].view(windows, WINDOW_TOKENS)
        order = torch.randperm(windows, generator=generator)
        for start in range(0, windows - batch + 1, batch):
            yield view[order[start : start + batch]]


def train(tokens: torch.Tensor, steps: int, batch: int, seed: int):
    """The model after `steps` steps of Muon (matrices) and AdamW (embedding, norms)."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = LlamaForCausalLM(LlamaConfig.from_dict(CONFIG)).float().train()
    matrices = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed" not in name]
    others = [p for name, p in model.named_parameters() if p.ndim != 2 or "embed" in name]
    optimizers = [
        torch.optim.Muon(
            matrices, lr=0.02, weight_decay=0.0, momentum=0.95, adjust_lr_fn="original"
        ),
        torch.optim.AdamW(others, lr=4e-3, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    schedulers = [
        torch.optim.lr_scheduler.LambdaLR(o, lambda step: learning_rate_factor(step, steps))
        for o in optimizers
    ]
    bos = torch.full((batch, 1), BOS_ID)
    started, running = time.monotonic(), 0.0
    source = batches(tokens, batch, generator)
    for step in range(1, steps + 1):
        targets = next(source)
        inputs = torch.cat([bos, targets[:, :-1]], dim=1)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            logits = model(input_ids=inputs, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
        for scheduler in schedulers:
            scheduler.step()
        running = loss.item() if step == 1 else 0.98 * running + 0.02 * loss.item()
        if step % 25 == 0 or step == steps:
            seconds = time.monotonic() - started
            print(f"step {step}/{steps}  loss {running:.3f}  {seconds:.0f} s", flush=True)
    return model.eval()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("models/demo"),
        help="model folder (default: %(default)s)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("documents/cache"),
        help="where the books are kept (default: %(default)s)",
    )
    parser.add_argument(
        "--steps", type=int, default=1850, help="optimiser steps (default: %(default)s)"
    )
    parser.add_argument(
        "--batch", type=int, default=16, help="windows in a step (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="default: %(default)s")
    arguments = parser.parse_args()

    import torch

    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        texts = prepare_demo.provide_books(arguments.cache)
    except prepare_demo.DemoError as error:
        print(f"train_demo_model: {error}", file=sys.stderr)
        return 1
    training = [texts[book.name] for book in demo_texts.BOOKS if book.role == "train"]
    arguments.output.mkdir(parents=True, exist_ok=True)
    tokenizer = train_tokenizer(training)
    tokenizer.save(str(arguments.output / "tokenizer.json"))
    tokens = torch.cat(
        [torch.tensor(tokenizer.encode(text, add_special_tokens=False).ids) for text in training]
    )
    bytes_per_token = sum(map(len, training)) / len(tokens)
    print(f"{len(tokens)} training tokens, {bytes_per_token:.3f} bytes per token", flush=True)
    model = train(tokens, arguments.steps, arguments.batch, arguments.seed)

    from safetensors.torch import save_file

    state = {
        k: v.detach().to(torch.float16).contiguous()
        for k, v in model.state_dict().items()
        if k != "lm_head.weight"
    }
    weights = arguments.output / "model.safetensors"
    save_file(state, str(weights), metadata={"format": "pt"})
    weights.chmod(0o644)  # the library leaves it to the owner alone
    (arguments.output / "config.json").write_text(json.dumps(CONFIG, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
