# SPDX-License-Identifier: Apache-2.0
"""One evaluator with many threads, or many with one: the demo's search both ways, in turn.

Usage: python tests/benchmarks/threads_or_evaluators.py --cores 2 --rounds 3

Each round runs a new search of configs/demo.toml under mpirun with `cores` ranks of one thread, and
with one rank of `cores` threads. Printed are medians of the jobs' wall seconds, and which share of
them the evaluators spent on tasks: the rest is start-up and end, breeding, dispatch, waiting for
the last task of a generation, and snapshots. Exit status: 0 done, 1 a search failed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import h5py

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from search_run import SearchRun  # noqa: E402


@dataclass(frozen=True)
class Found:
    """What a search took."""

    tasks: int
    seconds: float  # from the start of mpirun to its end
    busy_share: float  # of the ranks' time, spent on tasks


def demo_configuration(iterations: int, documents: int, threads: int) -> dict:
    """The demo's search, cut to `iterations`, without held-out scores."""
    read = tomllib.loads((ROOT / "configs" / "demo.toml").read_text(encoding="utf-8"))
    read["model"]["path"] = str(ROOT / read["model"]["path"])
    read["documents"] |= {
        "path": str(ROOT / read["documents"]["path"]),
        "search": documents,
        "validation": 1,
        "heldout": 1,
    }
    read["evaluator"]["threads"] = threads
    read["run"]["directory"] = "run"
    read["stage"] = read["stage"][0] | {"iterations": iterations}
    return read


def measure(folder: Path, ranks: int, configuration: dict) -> Found:
    run = SearchRun(folder, configuration, ranks)
    began = time.monotonic()
    try:
        run.complete()
    finally:
        run.clean_up()
    seconds = time.monotonic() - began
    with h5py.File(run.history) as file:
        workers = file["workers"][:]
    busy = float(workers["busy_seconds"].sum())
    return Found(int(workers["tasks"].sum()), seconds, busy / (seconds * ranks))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="(default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default: %(default)s)")
    parser.add_argument("--iterations", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--documents", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    ways = {
        f"{arguments.cores} evaluators with 1 thread": (arguments.cores, 1),
        f"1 evaluator with {arguments.cores} threads": (1, arguments.cores),
    }
    found: dict[str, list[Found]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory(prefix="threads-") as folder:
        for number in range(arguments.rounds):
            for way, (ranks, threads) in ways.items():
                configuration = demo_configuration(
                    arguments.iterations, arguments.documents, threads
                )
                try:
                    one = measure(Path(folder) / f"{number} {ranks}", ranks, configuration)
                except AssertionError as error:
                    print(f"threads_or_evaluators: {way}: {error}", file=sys.stderr)
                    return 1
                found[way].append(one)
                print(f"round {number + 1}, {way}: {one.seconds:.1f} s", file=sys.stderr)
    rows = []
    for way, all_found in found.items():
        seconds = statistics.median(one.seconds for one in all_found)
        share = statistics.median(one.busy_share for one in all_found)
        rows.append({"way": way, "seconds": seconds, "busy_share": share})
        print(
            f"{way:32} {seconds:7.1f} s ({min(one.seconds for one in all_found):.1f} to "
            f"{max(one.seconds for one in all_found):.1f}), {100 * share:.1f} % of it on tasks"
        )
    print(f"the first is {rows[1]['seconds'] / rows[0]['seconds']:.2f} times as fast")
    if arguments.json:
        arguments.json.write_text(json.dumps(rows) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
