# SPDX-License-Identifier: Apache-2.0
"""The optimisation of a fine-tuning: steps, checkpoints, progress.

Usage: not a program; scripts/finetune.py reads it, once PyTorch is known to be there.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings
from typing import Any

import finetune_model
import finetune_state as state
import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from finetune_plan import Plan
from finetune_stop import Stop
from tokenize_documents import DocumentsError
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

PROGRESS_SECONDS = 10


def say(text: str) -> None:
    print(f"finetune: {text}", file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s"


# Storing from one process alone is what is meant.
warnings.filterwarnings("ignore", message="torch.distributed is disabled", category=UserWarning)


class Training:
    """The optimisation itself. All processes run it in step."""

    def __init__(self, plan: Plan, device, processes: int, process: int) -> None:
        self._plan, self._device = plan, device
        self._processes, self._process = processes, process
        settings = plan.settings
        self._accumulation = settings.accumulation(processes)
        self._folder = state.training_folder(plan.output)
        self.loss = finetune_model.trainee(
            plan.base,
            plan.facts,
            plan.rescaling,
            device,
            precision=settings.precision,
            chunk_tokens=settings.loss_chunk_tokens,
            gradient_checkpointing=settings.gradient_checkpointing,
            offload_activations=settings.offload_activations,
        )
        self._optimizer = torch.optim.AdamW(
            self.loss.parameters(),
            lr=settings.learning_rate,
            betas=(settings.beta1, settings.beta2),
            weight_decay=settings.weight_decay,
        )
        self.rows: list[state.LossRow] = []

    @property
    def is_first(self) -> bool:
        return self._process == 0

    # --- Checkpoints

    def _state(self) -> dict[str, Any]:
        model, optimizer = get_state_dict(self.loss, self._optimizer)
        return {"model": model, "optimizer": optimizer}

    def store(self) -> None:
        step = len(self.rows)
        if step == state.last_checkpoint(self._folder):
            return
        unfinished = self._folder / f".step-{step:06d}"
        dcp.save(self._state(), checkpoint_id=unfinished, no_dist=not dist.is_initialized())
        if self.is_first:
            state.make_durable(self._folder / "loss.csv")  # a checkpoint is worth no more rows
            state.publish_checkpoint(unfinished, self._folder, step)
        if dist.is_initialized():
            dist.barrier()

    def resume(self) -> None:
        """Takes up the newest checkpoint, if there is one."""
        step = state.last_checkpoint(self._folder)
        if step:
            stored = self._state()
            folder = state.checkpoint_folder(self._folder, step)
            dcp.load(stored, checkpoint_id=folder, no_dist=not dist.is_initialized())
            set_state_dict(
                self.loss,
                self._optimizer,
                model_state_dict=stored["model"],
                optim_state_dict=stored["optimizer"],
            )
        self.rows = state.read_losses(self._folder / "loss.csv", step)
        if len(self.rows) != step:
            raise state.StateError(
                f"{self._folder / 'loss.csv'} has {len(self.rows)} rows for a checkpoint of step "
                f"{step}: remove {self._folder} to begin again"
            )

    # --- Steps

    def step(self) -> state.LossRow:
        """One step of the optimiser.

        Raises StateError if the loss is not finite.
        """
        begun = time.monotonic()
        settings, number = self._plan.settings, len(self.rows)
        torch.manual_seed(settings.seed + number)  # dropout, where a model has it
        rate = settings.learning_rate_at(number)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        batch = self._batch(number)
        total = torch.zeros((), device=self._device)
        for part in range(self._accumulation):
            begin = part * settings.micro_batch
            with finetune_model.arithmetic(settings.precision, self._device):
                loss = self.loss(batch[begin : begin + settings.micro_batch].to(self._device))
            (loss / self._accumulation).backward()
            total += loss.detach() / self._accumulation
        if dist.is_initialized():
            dist.all_reduce(total)
            total /= self._processes
        clip = settings.gradient_clip or float("inf")
        norm = torch.nn.utils.clip_grad_norm_(self.loss.parameters(), clip)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        mean = float(total)
        if not (torch.isfinite(total) and torch.isfinite(norm)):
            raise state.StateError(
                f"step {number + 1}: the loss is {mean}, the gradient's norm {float(norm)}. The "
                "last checkpoint is kept; a lower learning rate or more warm-up may help"
            )
        self._optimizer.step()
        self._optimizer.zero_grad()
        tokens = (number + 1) * settings.batch * self._plan.segment_tokens
        seconds = round(time.monotonic() - begun, 3)
        row = state.LossRow(number + 1, tokens, mean, rate, float(norm), seconds)
        self.rows.append(row)
        return row

    def _batch(self, number: int):
        """Token ids of this process, int64 [segments, positions]."""
        segments = np.stack(
            self._plan.segments.batch(
                number, self._plan.settings.batch, self._process, self._processes
            )
        )
        if segments.min() < 0 or segments.max() >= self._plan.vocabulary:
            raise DocumentsError(
                f"{self._plan.tokens.file} has token {int(segments.max())}; the vocabulary of "
                f"{self._plan.base} ends at {self._plan.vocabulary - 1}"
            )
        return torch.from_numpy(segments)

    def run(self, stop: Stop) -> bool:
        """Trains to the last step; whether it came there."""
        settings = self._plan.settings
        self.resume()
        losses = self._folder / "loss.csv"
        if self.is_first:
            state.write_text(losses, state.loss_table(self.rows))
        if self.rows and self.is_first:
            say(f"going on after step {len(self.rows)}")
        shown, recent = 0.0, [0.0]
        while len(self.rows) < settings.steps:
            if self._agreed(stop.wanted(max(recent[-10:]))):
                self.store()
                return False
            row = self.step()
            recent.append(row.seconds)
            if self.is_first:
                with losses.open("a", encoding="utf-8") as file:
                    file.write(state.loss_line(row))
                if time.monotonic() - shown > PROGRESS_SECONDS or row.step == settings.steps:
                    shown = time.monotonic()
                    left = (settings.steps - row.step) * statistics.median(recent[1:][-50:])
                    say(
                        f"step {row.step}/{settings.steps}  loss {row.loss:.4f}  learning rate "
                        f"{row.learning_rate:.2e}  {row.seconds:.1f} s a step  "
                        f"left {duration(left)}"
                    )
            if row.step % settings.checkpoint_steps == 0 or row.step == settings.steps:
                self.store()
        return True

    def _agreed(self, wanted: bool) -> bool:
        """Whether any process wants to stop: they must do so at the same step."""
        if not dist.is_initialized():
            return wanted
        flag = torch.tensor(float(wanted), device=self._device)
        dist.all_reduce(flag, op=dist.ReduceOp.MAX)
        return bool(flag)
