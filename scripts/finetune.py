# SPDX-License-Identifier: Apache-2.0
"""Fine-tunes a model under the rescale factors that a search found, for the next stage.

Usage: python scripts/finetune.py --model models/demo --history runs/campaign/search.h5 \\
           --stage 2048 --output runs/campaign/tuned --config configs/finetune/demo.toml

On several GPUs: torchrun --nproc-per-node 8 scripts/finetune.py ...; parameters are sharded over
all processes (FSDP). The same command continues a run from its last checkpoint, also on another
number of processes. --factors takes YaRN, none or a file in place of the stage's result, to compare
with. It needs scripts/requirements-training.txt; --check computes nothing and does without, with
--ahead too: scripts/requirements.txt is enough. Settings and what is written: docs/fine-tuning.md.
Exit status: 0 done, 1 error, 2 usage, 75 stopped early.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import finetune_device
import finetune_plan
import finetune_state as state
from finetune_device import DeviceError
from finetune_plan import Plan
from finetune_settings import SettingsError
from finetune_stop import Stop, deadline
from rescale_factors import FactorsError
from tokenize_documents import DocumentsError

STOPPED_EARLY = 75


def train(plan: Plan, arguments: argparse.Namespace, begun: float) -> int:
    import finetune_model
    import torch
    import torch.distributed as dist
    from finetune_training import Training, duration, say

    processes = finetune_plan.processes_of_job()
    process = int(os.environ.get("RANK", "0"))
    plan.settings.accumulation(processes)  # before anything is loaded
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = finetune_device.choose_device(arguments.device, torch, os.environ)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if process == 0:
        print(finetune_device.describe(device, torch, processes), file=sys.stderr, flush=True)
    if processes > 1:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    stop = Stop(deadline(begun, arguments.time_limit, arguments.end))
    lock = state.lock(state.training_folder(plan.output)) if process == 0 else None
    try:
        training = Training(plan, device, processes, process)
        if not training.run(stop):
            if process == 0:
                say(
                    f"stopped after step {len(training.rows)} of {plan.settings.steps}; the same "
                    "command goes on"
                )
            return STOPPED_EARLY
        last = training.rows[-20:]
        final = sum(row.loss for row in last) / len(last)
        record = {
            "base": str(plan.base),
            "factors_from": plan.rescaling.source,
            "documents": str(plan.tokens.file),
            "final_loss": final,
            "identity": plan.identity,
        }
        finetune_model.save_model(
            training.loss,
            plan.base,
            plan.output,
            plan.settings.saved_precision,
            {"fine_tuning.json": record, "loss.csv": state.loss_table(training.rows)},
        )
        if process == 0:
            state.remove(state.training_folder(plan.output))
            say(
                f"{plan.output} is complete: loss {training.rows[0].loss:.4f} at the first step, "
                f"{final:.4f} over the last {len(last)}; "
                f"{duration(sum(row.seconds for row in training.rows))} of training, "
                f"{time.process_time():.0f} CPU seconds in this start"
            )
        return 0
    finally:
        if lock is not None:
            lock.close()
        if dist.is_initialized():
            dist.destroy_process_group()


# --- Command line -------------------------------------------------------------------------------


def argument_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", type=Path, required=True, help="Hugging Face folder to begin with"
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the tuned model")
    parser.add_argument(
        "--config", type=Path, required=True, help="settings, such as configs/finetune/demo.toml"
    )
    parser.add_argument("--history", type=Path, help="search.h5 of a search")
    parser.add_argument("--stage", help="the stage of it whose result is taken")
    parser.add_argument(
        "--documents",
        type=Path,
        help="training documents (default: training.documents of --config)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value for a setting of --config; may be given again",
    )
    parser.add_argument(
        "--factors",
        metavar="FILE|yarn|none",
        help="factors in place of the stage's: a CSV file with one a line, YaRN's, or all 1",
    )
    parser.add_argument(
        "--target-tokens", type=positive, help="of --factors (default: the stage's)"
    )
    parser.add_argument(
        "--attention-scale",
        metavar="su|yarn|none|NUMBER",
        help="of --factors (default: the stage's, else su)",
    )
    parser.add_argument(
        "--start-tokens", type=natural, default=0, help="of --factors (default: %(default)s)"
    )
    parser.add_argument(
        "--time-limit",
        type=positive,
        metavar="SECONDS",
        help="from the start of the program: store a checkpoint and stop in good time before",
    )
    parser.add_argument(
        "--end",
        type=positive,
        metavar="TIME",
        help="the same at a time of day, in seconds since 1970; the earlier of the two counts",
    )
    parser.add_argument(
        "--device",
        choices=finetune_device.DEVICES,
        default="auto",
        help="auto: a GPU per process, or the CPU where there is none and none was granted "
        "(default: %(default)s)",
    )
    parser.add_argument("--threads", type=positive, help="on the CPU (default: PyTorch's choice)")
    parser.add_argument(
        "--check", action="store_true", help="say what would be done, and compute nothing"
    )
    parser.add_argument(
        "--processes",
        type=positive,
        metavar="N",
        help="with --check: over how many the batch is to be shared (default: those of torchrun)",
    )
    parser.add_argument(
        "--ahead",
        type=Path,
        metavar="FOLDER",
        help="with --check, before the jobs that come first: without factors while the stage is "
        "not complete, and by FOLDER while --model, which is made from it, is not there",
    )
    return parser


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{value} is not 1 or more")
    return value


def natural(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{value} is negative")
    return value


def main() -> int:
    begun = time.monotonic()
    parser = argument_parser()
    arguments = parser.parse_args()
    if arguments.ahead and not arguments.check:
        parser.error("--ahead goes with --check")
    if arguments.processes and not arguments.check:
        parser.error("--processes goes with --check; torchrun says how many train")
    try:
        if arguments.ahead:
            left = finetune_plan.check_ahead(arguments)
            if missing := finetune_plan.missing_packages():
                print(
                    f"finetune: note: {sys.executable} has no {' and no '.join(missing)}, which is "
                    "enough to check with; where the training runs, "
                    "scripts/install_dependencies.sh --training installs what it needs",
                    file=sys.stderr,
                )
            print(f"{arguments.output}: {left}; what is known of it so far is in order")
            return 0
        plan = finetune_plan.make_plan(arguments)
        if arguments.check:
            print(finetune_plan.describe(plan))
            return 0
        if not finetune_plan.prepare_folders(plan):
            print(f"finetune: {plan.output} is complete", file=sys.stderr)
            return 0
        if os.environ.get("RANK", "0") == "0":
            print(finetune_plan.describe(plan), file=sys.stderr, flush=True)
        return train(plan, arguments, begun)
    except (
        SettingsError,
        FactorsError,
        DocumentsError,
        DeviceError,
        state.StateError,
        OSError,
    ) as error:
        print(f"finetune: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        print(
            f"finetune: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh --training",
            file=sys.stderr,
        )
    return 1


if __name__ == "__main__":
    sys.exit(main())
