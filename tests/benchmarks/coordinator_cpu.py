# SPDX-License-Identifier: Apache-2.0
"""CPU seconds of rank 0 per task, in a search of the paper's size whose tasks take no time.

Usage: python tests/benchmarks/coordinator_cpu.py --ranks 2 --documents 4

The search is that of the paper (64 + 40 * 32 individuals) on the synthetic landscape; rank 0
breeds, deals out, stores, and supervises an evaluator process of its own, which is not counted. Its
CPU time, start-up included, is read from /proc until it ends (in ticks of 10 ms). Exit status: 0
done, 1 the search failed.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "integration"))

from search_run import SearchRun, changed, paper_search, wait_until  # noqa: E402

SAMPLE_SECONDS = 0.01


def cpu_seconds(process: int) -> float | None:
    """User and system time of a process without its children; None when it is gone."""
    try:
        # "pid (name) state ...", where the name may hold anything; utime and stime are 14 and 15.
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def measure(folder: Path, ranks: int, documents: int) -> dict[str, float]:
    configuration = changed(
        paper_search(duration_ms=0, documents=documents),
        run={"snapshot_seconds": 30},  # the default
    )
    run = SearchRun(folder, configuration, ranks)
    began = time.monotonic()
    run.start()
    try:
        coordinator = wait_until(
            lambda: [each for each in run.processes() if each.is_rank and each.rank in (None, 0)],
            "rank 0 has started",
        )[0].pid
        used = 0.0
        while run.job is not None and run.job.poll() is None:
            used = cpu_seconds(coordinator) or used
            time.sleep(SAMPLE_SECONDS)
        wall = time.monotonic() - began
        if run.state() != "complete":
            raise AssertionError(f"the history is {run.state()!r}:\n{run.said()}")
        return {"tasks": run.tasks(), "rank_0_cpu_seconds": used, "wall_seconds": wall}
    finally:
        run.clean_up()


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--documents", type=int, default=4, help="(default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE")
    arguments = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory(prefix="coordinator-") as folder:
            found = measure(Path(folder) / "search", arguments.ranks, arguments.documents)
    except AssertionError as error:
        print(f"coordinator_cpu: {error}", file=sys.stderr)
        return 1
    per_task = 1e6 * found["rank_0_cpu_seconds"] / found["tasks"]
    print(
        f"{found['tasks']:.0f} tasks on {arguments.ranks} ranks in {found['wall_seconds']:.1f} s; "
        f"rank 0 used {found['rank_0_cpu_seconds']:.2f} s of CPU, {per_task:.0f} µs per task"
    )
    if arguments.json:
        arguments.json.write_text(json.dumps(found | {"microseconds_per_task": per_task}) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
