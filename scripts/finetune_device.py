# SPDX-License-Identifier: Apache-2.0
"""What a process of a fine-tuning computes on.

Usage: not a program; scripts/finetune.py reads it.
"""

from __future__ import annotations

from collections.abc import Mapping

DEVICES = ("auto", "cuda", "cpu")


class DeviceError(Exception):
    """Something the user can act on: what was granted, what PyTorch sees."""


def granted_gpus(environment: Mapping[str, str]) -> str | None:
    """The variable, as NAME=VALUE, that gives this process GPUs; None if none does."""
    on_node = environment.get("SLURM_GPUS_ON_NODE", "")
    if on_node.isdigit() and int(on_node) > 0:
        return f"SLURM_GPUS_ON_NODE={on_node}"
    # CUDA stops at the first name that is none; Slurm writes NoDevFiles where a job has no GPU.
    visible = environment.get("CUDA_VISIBLE_DEVICES", "")
    first = visible.partition(",")[0].strip()
    if first and not first.startswith("-") and first != "NoDevFiles":
        return f"CUDA_VISIBLE_DEVICES={visible}"
    return None


def choose_device(wanted: str, torch, environment: Mapping[str, str]):
    """The torch.device of this process, which under torchrun is one of several on its node.

    Raises DeviceError where GPUs were granted or asked for and cannot be had: a job of days would
    else begin on the CPU.

    @param wanted  one of DEVICES
    @param torch   the module
    """
    if wanted == "cpu":
        return torch.device("cpu")
    granted = granted_gpus(environment)
    if not torch.cuda.is_available():
        if wanted == "auto" and granted is None:
            return torch.device("cpu")
        asked = granted if wanted == "auto" else "--device cuda"
        built = torch.version.cuda
        why = f"PyTorch {torch.__version__} is built for CUDA {built}; the driver may be older"
        if built is None:
            why = f"PyTorch {torch.__version__} is a build without CUDA"
        raise DeviceError(
            f"{asked}, but PyTorch sees no GPU (torch.cuda.is_available() is False). {why}. "
            "To train on the CPU: --device cpu"
        )
    number = int(environment.get("LOCAL_RANK", "0"))
    if number >= torch.cuda.device_count():
        raise DeviceError(
            f"process {number} of this node has no GPU: PyTorch sees {torch.cuda.device_count()}. "
            "Start as many processes a node as it has GPUs (torchrun --nproc-per-node)"
        )
    return torch.device("cuda", number)


def describe(device, torch, processes: int) -> str:
    """A line of the banner, after that of scripts/finetune_plan.py."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    return f"device:    {name}, {processes} process{'es' if processes > 1 else ''}"
