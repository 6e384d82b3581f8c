# SPDX-License-Identifier: Apache-2.0
"""Times longrope, llama.cpp and Hugging Face transformers on one document, one thread each.

Usage: python tests/benchmarks/compare_peers.py --lengths 2048 8192 --rounds 3 \\
           --llama-python VENV/bin/python --torch-python VENV/bin/python --json peers.json

All of them score the same tokens under the same weights, each at every position, and the reduction
of the logits to losses is part of the time; loading is not, nor is a short run before. Each run is
a process of its own, and so is its peak memory. A round runs everything once and the next
one begins elsewhere, so that a machine that slows down slows all of them; medians are printed.
longrope is evaluator_benchmark (built with the tests). llama.cpp is whatever `llama_cpp` the given
interpreter has (CMAKE_ARGS=-DGGML_NATIVE=ON pip install llama-cpp-python); its GGUF files are
written from the model folder, and Q4_1 is the file that the model was made from. What is missing
is named as skipped. Exit status: 0 done, 1 something failed, 2 usage.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
WARM_UP_TOKENS = 512
# What longrope says of a precision that this CPU has no instructions for: nothing has failed.
NEEDS_OTHER_CPU = "needs AVX512_BF16"
PROJECTED_ROWS = 256  # tokens whose logits transformers holds at a time
REDUCED_ROWS = 32  # rows of logits that numpy reduces at a time: what stays in the cache
RUN_SECONDS = 1800
F32_ERROR, ANY_ERROR = 2e-5, 1e-3  # relative errors of the perplexity that still count
ONE_THREAD = ("OMP", "MKL", "OPENBLAS", "NUMEXPR")  # <name>_NUM_THREADS


class PeerError(Exception):
    """Something the user can act on: what was attempted, what was found."""


@dataclass(frozen=True)
class Contender:
    """One row of the table: a program, the type of its weights, its settings."""

    name: str
    program: str  # longrope, llama.cpp or transformers
    weights: str  # f32, f16, bf16, q4_1
    flash_attention: bool = False  # of llama.cpp
    cache: str = "f16"  # keys and values of llama.cpp: f16 is its default
    streamed: bool = False  # weights of longrope: packed for each document


CONTENDERS = (
    Contender("longrope f32", "longrope", "f32"),
    Contender("longrope bf16", "longrope", "bf16"),
    Contender("longrope f32, streamed", "longrope", "f32", streamed=True),
    Contender("longrope bf16, streamed", "longrope", "bf16", streamed=True),
    Contender("llama.cpp f32, f32 cache", "llama.cpp", "f32", cache="f32"),
    Contender("llama.cpp f32, f32 cache, FA", "llama.cpp", "f32", True, cache="f32"),
    Contender("llama.cpp f32", "llama.cpp", "f32"),
    Contender("llama.cpp f32, FA", "llama.cpp", "f32", True),
    Contender("llama.cpp f16", "llama.cpp", "f16"),
    Contender("llama.cpp f16, FA", "llama.cpp", "f16", True),
    Contender("llama.cpp bf16", "llama.cpp", "bf16"),
    Contender("llama.cpp bf16, FA", "llama.cpp", "bf16", True),
    Contender("llama.cpp Q4_1", "llama.cpp", "q4_1"),
    Contender("llama.cpp Q4_1, FA", "llama.cpp", "q4_1", True),
    Contender("transformers f32", "transformers", "f32"),
    Contender("transformers bf16", "transformers", "bf16"),
)
REFERENCES = ("transformers f32", "longrope f32")  # whose perplexity errors are against: the first


# --- Workers: one run, in a process and an interpreter of its own ---------------------------------


def status_bytes(process: int | str, key: str) -> int:
    """An entry of /proc/<process>/status; 0 when the process has ended."""
    try:
        for line in Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines():
            if line.startswith(f"{key}:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return 0


def timed(work) -> dict[str, float]:
    """@param work  returns the sum of the negative log-likelihoods, in nats"""
    wall, cpu = time.perf_counter(), time.process_time()
    total = work()
    return {
        "wall_seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - cpu,
        "sum_nll": float(total),
        "peak_bytes": status_bytes("self", "VmHWM"),
    }


def sum_nll(logits, targets) -> float:
    """@param logits  float32 [rows, vocabulary]; @param targets  integers [rows]"""
    import numpy as np

    total = 0.0
    for first in range(0, len(targets), REDUCED_ROWS):
        block, wanted = logits[first : first + REDUCED_ROWS], targets[first : first + REDUCED_ROWS]
        block, wanted = block[: len(wanted)], np.asarray(wanted)
        top = block.max(axis=1, keepdims=True)
        sums = np.exp(block - top).sum(axis=1, dtype=np.float64)
        rows = np.log(sums) + top[:, 0] - block[np.arange(len(wanted)), wanted]
        total += float(rows.sum(dtype=np.float64))
    return total


def llama_cpp_worker(arguments: argparse.Namespace) -> dict[str, Any]:
    import ctypes

    import llama_cpp
    import numpy as np

    silent = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    tokens = np.load(arguments.tokens)
    model = llama_cpp.llama_model_load_from_file(
        str(arguments.model).encode(), llama_cpp.llama_model_default_params()
    )
    if not model:
        raise PeerError(f"llama.cpp cannot load {arguments.model}")
    vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = -(-len(tokens) // 256) * 256
    settings.n_batch = settings.n_ubatch = arguments.batch
    settings.n_threads = settings.n_threads_batch = 1
    settings.type_k = settings.type_v = {"f32": 0, "f16": 1}[arguments.cache]  # GGML_TYPE_*
    settings.flash_attn_type = 1 if arguments.flash_attention else 0
    settings.no_perf = True
    context = llama_cpp.llama_init_from_model(model, settings)
    if not context:
        raise PeerError(f"llama.cpp cannot make a context of {settings.n_ctx} positions")
    batch = llama_cpp.llama_batch_init(arguments.batch, 0, 1)

    def score(count: int) -> float:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
        total = 0.0
        for first in range(0, count, arguments.batch):
            rows = min(arguments.batch, count - first)
            batch.n_tokens = rows
            for row in range(rows):
                batch.token[row] = int(tokens[first + row])
                batch.pos[row] = first + row
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = 0
                batch.logits[row] = 1
            if status := llama_cpp.llama_decode(context, batch):
                raise PeerError(f"llama_decode at position {first} gives {status}")
            logits = np.ctypeslib.as_array(
                llama_cpp.llama_get_logits(context), shape=(rows, vocabulary)
            )
            total += sum_nll(logits, tokens[first + 1 : min(first + rows + 1, count)])
        return total

    score(min(arguments.warm_up, len(tokens)))
    return timed(lambda: score(len(tokens)))


def transformers_worker(arguments: argparse.Namespace) -> dict[str, Any]:
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    torch.set_num_interop_threads(1)
    tokens = torch.from_numpy(np.load(arguments.tokens).astype(np.int64))
    model = AutoModelForCausalLM.from_pretrained(
        arguments.model,
        dtype={"f32": torch.float32, "bf16": torch.bfloat16}[arguments.weights],
        attn_implementation="sdpa",
    ).eval()

    @torch.inference_mode()
    def score(count: int) -> float:
        ids = tokens[:count]
        hidden = model.model(ids[None], use_cache=False).last_hidden_state[0]
        total = 0.0
        for first in range(0, count - 1, PROJECTED_ROWS):
            targets = ids[first + 1 : first + PROJECTED_ROWS + 1]
            logits = model.lm_head(hidden[first : first + len(targets)]).float()
            total += torch.nn.functional.cross_entropy(logits, targets, reduction="sum").item()
        return total

    score(min(arguments.warm_up, len(tokens)))
    return timed(lambda: score(len(tokens)))


def llama_cpp_version() -> str:
    import llama_cpp

    # Its features are filled in when the backend starts.
    llama_cpp.llama_backend_init()
    features = llama_cpp.llama_print_system_info().decode().strip()
    return f"llama-cpp-python {llama_cpp.__version__}: {features}"


def transformers_version() -> str:
    import torch
    import transformers

    return (
        f"transformers {transformers.__version__}, PyTorch {torch.__version__}: "
        f"{torch.backends.cpu.get_cpu_capability()}, oneDNN {torch.backends.mkldnn.is_available()},"
        f" MKL {torch.backends.mkl.is_available()}, attention sdpa"
    )


def worker_main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="compare_peers.py --worker")
    parser.add_argument("program", choices=("llama.cpp", "transformers"))
    parser.add_argument("--version", action="store_true")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--tokens", type=Path)
    parser.add_argument("--weights")
    parser.add_argument("--cache")
    parser.add_argument("--flash-attention", action="store_true")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--warm-up", type=int)
    arguments = parser.parse_args(words)
    llama = arguments.program == "llama.cpp"
    try:
        if arguments.version:
            print(llama_cpp_version() if llama else transformers_version())
        else:
            found = llama_cpp_worker(arguments) if llama else transformers_worker(arguments)
            print(json.dumps(found))
        return 0
    except (ImportError, PeerError, RuntimeError, OSError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1


# --- Running them -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What a process printed, and the most memory it held that is not of mapped files."""

    text: str
    private_bytes: int  # sampled every 20 ms


def run_process(command: list[str]) -> Outcome:
    """@throws PeerError with the last line of stderr, if it ends with another status than 0"""
    environment = dict(os.environ) | {f"{name}_NUM_THREADS": "1" for name in ONE_THREAD}
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment
            )
        except OSError as error:
            raise PeerError(f"cannot start {command[0]}: {error.strerror}") from error
        stop = threading.Timer(RUN_SECONDS, process.kill)
        stop.start()
        private = 0
        while True:
            ended, status = os.waitpid(process.pid, os.WNOHANG)
            if ended:
                break
            private = max(private, status_bytes(process.pid, "RssAnon"))
            time.sleep(0.02)
        stop.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            said = err.read().strip().splitlines() or [f"nothing, within {RUN_SECONDS} s"]
            raise PeerError(f"status {process.returncode}: {said[-1]}")
        return Outcome(out.read(), private)


def worker_command(python: Path, program: str) -> list[str]:
    return [str(python), str(Path(__file__).resolve()), "--worker", program]


class Runner:
    """Knows where the programs, the tokens and the weights of each type are."""

    def __init__(self, arguments: argparse.Namespace, folder: Path) -> None:
        self.arguments = arguments
        self.folder = folder
        self.versions: dict[str, str] = {}
        self.skipped: dict[str, str] = {}

    def find(self, program: str) -> None:
        """Notes the version of a program, or why it is skipped."""
        if program == "longrope":
            if not self.arguments.benchmark.is_file():
                self.skipped[program] = f"{self.arguments.benchmark} has not been built"
            return
        python = self.python(program)
        try:
            command = [*worker_command(python, program), "--version"]
            self.versions[program] = run_process(command).text.strip().splitlines()[-1]
        except PeerError as error:
            self.skipped[program] = f"{python}: {error}"

    def python(self, program: str) -> Path:
        llama = program == "llama.cpp"
        return self.arguments.llama_python if llama else self.arguments.torch_python

    def tokens(self, length: int) -> Path:
        """The first `length` positions of the document, as a file that workers read."""
        path = self.folder / f"{length}.npy"
        if not path.exists():
            import h5py
            import numpy as np

            with h5py.File(self.arguments.documents) as file:
                offsets = file["offsets"][self.arguments.document : self.arguments.document + 2]
                if len(offsets) < 2:
                    raise PeerError(
                        f"{self.arguments.documents} has no document {self.arguments.document}"
                    )
                ids = file["tokens"][offsets[0] : offsets[1]]
                bos = int(file.attrs["bos_token_id"])
            if bos >= 0:
                ids = np.concatenate([[bos], ids])
            if len(ids) < length:
                raise PeerError(
                    f"document {self.arguments.document} of {self.arguments.documents} fills "
                    f"{len(ids)} positions, fewer than {length}"
                )
            np.save(path, ids[:length].astype(np.int32))
        return path

    def gguf(self, weights: str) -> Path:
        """The model in GGUF; @throws PeerError if there is no original for Q4_1"""
        if weights == "q4_1":
            if not self.arguments.gguf.is_file():
                raise PeerError(
                    f"there is no {self.arguments.gguf}: run scripts/prepare_smollm2.py"
                )
            return self.arguments.gguf
        path = (self.arguments.keep or self.folder) / f"{self.arguments.model.name}-{weights}.gguf"
        stored = self.arguments.model / "model.safetensors"
        if not path.exists() or path.stat().st_mtime < stored.stat().st_mtime:
            sys.path.insert(0, str(ROOT / "scripts"))
            from compare_with_llama_cpp import write_gguf

            write_gguf(path, self.arguments.model, None, 1 << 17, weights.upper())
        return path

    def run(self, contender: Contender, length: int) -> dict[str, Any]:
        if contender.program == "longrope":
            return self.run_longrope(contender, length)
        command = worker_command(self.python(contender.program), contender.program)
        command += ["--tokens", str(self.tokens(length)), "--warm-up", str(WARM_UP_TOKENS)]
        if contender.program == "transformers":
            command += ["--model", str(self.arguments.model), "--weights", contender.weights]
        else:
            command += ["--model", str(self.gguf(contender.weights)), "--cache", contender.cache]
            command += ["--batch", str(self.arguments.batch)]
            command += ["--flash-attention"] if contender.flash_attention else []
        outcome = run_process(command)
        found = json.loads(outcome.text.splitlines()[-1])
        return found | {"private_bytes": outcome.private_bytes}

    def run_longrope(self, contender: Contender, length: int) -> dict[str, Any]:
        command = [str(self.arguments.benchmark), str(self.arguments.model)]
        command += ["--positions", str(length), "--precision", contender.weights]
        command += ["--documents", str(self.arguments.documents), "--json", "-"]
        command += ["--document", str(self.arguments.document), "--repeat", "1"]
        command += ["--warm-up", str(WARM_UP_TOKENS), "--threads", "1"]
        command += ["--weights", "streamed" if contender.streamed else "resident"]
        outcome = run_process(command)
        report = json.loads(outcome.text)
        self.versions["longrope"] = (
            f"longrope: {report['backend']}, {report['instruction_set']}, oneDNN {report['onednn']}"
        )
        found = report["measurements"][0]
        taken = ("wall_seconds", "cpu_seconds", "sum_nll", "peak_gflops", "operations")
        return {key: found[key] for key in taken} | {
            "peak_bytes": found["resident_bytes"],
            "private_bytes": outcome.private_bytes,
        }


# --- The tables ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """Medians of a contender's runs at one length; memory is the largest."""

    contender: Contender
    length: int
    runs: int
    wall_seconds: float
    cpu_seconds: float
    mean_nll: float
    peak_bytes: int
    private_bytes: int

    @property
    def speed(self) -> float:
        return self.length / self.cpu_seconds


def summarise(runs: list[dict[str, Any]]) -> list[Row]:
    """@param runs  each with contender, length and what its run gave"""
    groups: dict[tuple[Contender, int], list[dict[str, Any]]] = {}
    for run in runs:
        groups.setdefault((run["contender"], run["length"]), []).append(run)
    return [
        Row(
            contender,
            length,
            len(found),
            statistics.median(run["wall_seconds"] for run in found),
            statistics.median(run["cpu_seconds"] for run in found),
            statistics.median(run["sum_nll"] for run in found) / (length - 1),
            max(run["peak_bytes"] for run in found),
            max(run["private_bytes"] for run in found),
        )
        for (contender, length), found in groups.items()
    ]


def reference_of(rows: list[Row]) -> Row | None:
    for name in REFERENCES:
        for row in rows:
            if row.contender.name == name:
                return row
    return None


def perplexity_error(row: Row, reference: Row) -> float:
    """Relative, against the reference at the same length."""
    return abs(math.expm1(row.mean_nll - reference.mean_nll))


def comparison(rows: list[Row]) -> list[str]:
    """What the rows of one length say: longrope against the best of the others."""
    reference = reference_of(rows)
    ours = [row for row in rows if row.contender.program == "longrope"]
    peers = [row for row in rows if row.contender.program != "longrope"]
    lines = []
    for title, own, others, limit in (
        (
            "f32",
            [row for row in ours if row.contender.weights == "f32"],
            [row for row in peers if row.contender.weights == "f32"],
            F32_ERROR,
        ),
        ("any type", ours, peers, ANY_ERROR),
    ):
        own = [row for row in own if perplexity_error(row, reference) <= limit]
        if not own or not others:
            continue
        best, peer = max(own, key=lambda r: r.speed), max(others, key=lambda r: r.speed)
        lines.append(
            f"{title}: {best.contender.name} is {best.speed / peer.speed:.2f} times as fast as "
            f"{peer.contender.name}, the fastest of the others"
        )
    by_residency = (
        [row for row in ours if row.contender.streamed == streamed] for streamed in (False, True)
    )
    for rows in filter(None, by_residency if peers else ()):
        for what in ("peak_bytes", "private_bytes"):
            most = max(rows, key=lambda row: getattr(row, what))
            least = min(peers, key=lambda row: getattr(row, what))
            lines.append(
                f"memory ({'resident' if what == 'peak_bytes' else 'private'}): "
                f"{most.contender.name} {getattr(most, what) >> 20} MiB, the least of the others "
                f"{getattr(least, what) >> 20} MiB ({least.contender.name})"
            )
    return lines


def table(rows: list[Row]) -> str:
    lines = []
    for length in sorted({row.length for row in rows}):
        same = [row for row in rows if row.length == length]
        reference = reference_of(same)
        lines += [
            "",
            f"{length} positions",
            f"{'':30}{'tokens/s':>9}{'CPU s':>9}{'wall s':>9}{'runs':>6}{'mean NLL':>11}"
            f"{'ppl error':>11}{'peak MiB':>10}{'private':>9}",
        ]
        for row in sorted(same, key=lambda row: -row.speed):
            error = f"{perplexity_error(row, reference):.1e}" if reference else "-"
            lines.append(
                f"{row.contender.name:30}{row.speed:9.0f}{row.cpu_seconds:9.2f}"
                f"{row.wall_seconds:9.2f}{row.runs:6}{row.mean_nll:11.6f}{error:>11}"
                f"{row.peak_bytes / 2**20:10.0f}{row.private_bytes / 2**20:9.0f}"
            )
        if reference:
            lines += [f"ppl error: against {reference.contender.name}", *comparison(same)]
    lines += ["", "tokens/s are of CPU seconds; loading and a short run before are not in them"]
    return "\n".join(lines)


def cpu_name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(": ")[2]
    return "CPU"


# --- The comparison -----------------------------------------------------------------------------


def chosen_contenders(only: list[str]) -> list[Contender]:
    chosen = [c for c in CONTENDERS if not only or any(word in c.name for word in only)]
    if not chosen:
        names = "\n    ".join(contender.name for contender in CONTENDERS)
        raise PeerError(f"--only {' '.join(only)} names none of\n    {names}")
    return chosen


def measure(arguments: argparse.Namespace, runner: Runner) -> tuple[list[dict[str, Any]], bool]:
    """All runs, and whether none failed."""
    contenders = chosen_contenders(arguments.only)
    for program in dict.fromkeys(contender.program for contender in contenders):
        runner.find(program)
    for program, reason in runner.skipped.items():
        print(f"skipped: {program}: {reason}", flush=True)
    contenders = [c for c in contenders if c.program not in runner.skipped]
    out: set[Contender] = set()
    failed = False
    runs = []
    for number in range(arguments.rounds):
        for length in arguments.lengths:
            turn = number * 5 % max(1, len(contenders))
            for contender in contenders[turn:] + contenders[:turn]:
                if contender in out:
                    continue
                try:
                    found = runner.run(contender, length)
                except PeerError as error:
                    out.add(contender)
                    missing = NEEDS_OTHER_CPU in str(error)
                    failed = failed or not missing
                    what = "skipped" if missing else "failed"
                    print(f"{what}: {contender.name}, {length} positions: {error}", flush=True)
                    continue
                runs.append({"contender": contender, "length": length, "round": number, **found})
                print(
                    f"round {number + 1}, {length} positions, {contender.name}: "
                    f"{found['cpu_seconds']:.2f} s of CPU, {found['wall_seconds']:.2f} s",
                    file=sys.stderr,
                    flush=True,
                )
    return runs, not failed


def as_json(runs: list[dict[str, Any]], runner: Runner) -> str:
    plain = [run | {"contender": run["contender"].name} for run in runs]
    report = {"cpu": cpu_name(), "versions": runner.versions, "skipped": runner.skipped}
    return json.dumps(report | {"runs": plain}, indent=1) + "\n"


def compare(arguments: argparse.Namespace, folder: Path) -> bool:
    runner = Runner(arguments, folder)
    runs, complete = measure(arguments, runner)
    print(f"{cpu_name()}, 1 thread; {arguments.model}, {arguments.documents}")
    for version in runner.versions.values():
        print(version)
    if runs:
        print(table(summarise(runs)))
    if arguments.json:
        arguments.json.write_text(as_json(runs, runner), encoding="utf-8")
    return complete and bool(runs)


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        return worker_main(sys.argv[2:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(sys.executable)
    parser.add_argument("--lengths", type=int, nargs="+", default=[2048, 8192], metavar="N")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="rows whose names contain one of these",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run, for other programs")
    parser.add_argument("--model", type=Path, default=ROOT / "models/smollm2-135m")
    parser.add_argument("--documents", type=Path, default=ROOT / "documents/smollm2.h5")
    parser.add_argument("--document", type=int, default=0, help="its index (default: 0)")
    parser.add_argument(
        "--gguf",
        type=Path,
        default=ROOT / "documents/cache/SmolLM2-135M-Instruct.Q4_1.gguf",
        help="the file that the model was made from",
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="where GGUF files are written and kept"
    )
    parser.add_argument(
        "--benchmark", type=Path, default=ROOT / "build/release/evaluator_benchmark"
    )
    parser.add_argument("--llama-python", type=Path, default=here, help="one with llama_cpp")
    parser.add_argument("--torch-python", type=Path, default=here, help="one with transformers")
    parser.add_argument(
        "--batch", type=int, default=512, help="positions that llama.cpp is given at a time"
    )
    arguments = parser.parse_args()
    if arguments.rounds < 1 or min(arguments.lengths) < 2:
        parser.error("--rounds must be 1 or more, --lengths 2 or more")
    try:
        if arguments.keep:
            arguments.keep.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="compare-peers-") as folder:
            return 0 if compare(arguments, Path(folder)) else 1
    except (PeerError, OSError) as error:
        print(f"compare_peers: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
