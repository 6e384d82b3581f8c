# SPDX-License-Identifier: Apache-2.0
"""Sets the search methods side by side: best search perplexity after equal numbers of evaluations.

Usage: python scripts/compare_methods.py [--config configs/demo.toml] [--seeds 1 2 3 4 5]

Runs `longrope search` for each method and seed, in run directories of its own, and prints a
Markdown table; the column "YaRN" is what YaRN itself has on the same documents, which the seed
chooses. Interrupted, it goes on where it was. The sizes are those of the configuration's only
stage; its grid, bound and start tokens are left to the defaults of the method. It needs h5py and,
on the demo, some 11 TFLOP for a run.
"""

from __future__ import annotations

import argparse
import math
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import h5py
import numpy as np

METHODS = ("paper", "reference")
MARKS = (64, 100, 200, 400)
DONE = 1  # status of an individual
METHOD_SETTINGS = ("grid_step", "bound", "start_tokens")  # what a method has a say in


def configuration(
    base: dict[str, Any], method: str, seed: int, iterations: int, documents: int, directory: Path
) -> dict[str, Any]:
    """`base` for one run; the final choice and its measure are kept as small as they can be."""
    stages = base["stage"]
    if len(stages) != 1:
        raise ValueError(f"the configuration has {len(stages)} stages; one is compared")
    stage = {key: value for key, value in stages[0].items() if key not in METHOD_SETTINGS}
    return base | {
        "documents": base.get("documents", {})
        | {"search": documents, "validation": 1, "heldout": 1},
        "run": base.get("run", {}) | {"directory": str(directory), "seed": seed},
        "stage": [stage | {"method": method, "iterations": iterations}],
    }


def to_toml(tables: dict[str, Any], prefix: str = "") -> str:
    """Nested tables of text, numbers and truth values as TOML."""
    lines: list[str] = []
    for name, table in tables.items():
        for content in table if isinstance(table, list) else [table]:
            header = f"[[{prefix}{name}]]" if isinstance(table, list) else f"[{prefix}{name}]"
            values = {key: of for key, of in content.items() if not isinstance(of, dict)}
            nested = {key: of for key, of in content.items() if isinstance(of, dict)}
            lines.append(header)
            lines.extend(f"{key} = {toml_value(of)}" for key, of in values.items())
            lines.append(to_toml(nested, f"{prefix}{name}."))
    return "\n".join(lines)


def toml_value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def iterations_for(evaluations: int, stage: dict[str, Any]) -> int:
    """Generations after the first that make up `evaluations`; sizes default as declared."""
    children = stage.get("mutations", 16) + stage.get("crossovers", 16)
    return max(0, math.ceil((evaluations - stage.get("population", 64)) / children))


def best_so_far(history: Path, marks: list[int]) -> list[float]:
    """The lowest search perplexity among the first individuals, for each number of them."""
    with h5py.File(history) as file:
        (stage,) = file["stages"].values()
        rows = stage["evaluations"][:]
    perplexity = np.where(rows["status"] == DONE, rows["perplexity"], np.inf)
    if len(perplexity) < max(marks):
        raise ValueError(f"{history} holds {len(perplexity)} individuals, not {max(marks)}")
    return [float(perplexity[:mark].min()) for mark in marks]


def baseline(history: Path, name: str) -> float:
    """Search perplexity of a named baseline."""
    with h5py.File(history) as file:
        (stage,) = file["stages"].values()
        rows = stage["baselines/scores"][:]
    return float(rows["perplexity"][list(rows["name"]).index(name.encode())])


def markdown_table(results: dict[str, dict[int, list[float]]], marks: list[int]) -> str:
    """A row per method and seed, of YaRN's value and one per mark, and the mean of each method."""
    lines = [
        "| method | seed | YaRN | " + " | ".join(f"after {mark}" for mark in marks) + " |",
        "|---|---|---|" + "---|" * len(marks),
    ]

    def row(method: str, seed: str, values: list[float]) -> str:
        return f"| {method} | {seed} | " + " | ".join(f"{value:.2f}" for value in values) + " |"

    for method, by_seed in results.items():
        lines += [row(f"`{method}`", str(seed), values) for seed, values in by_seed.items()]
        means = [float(np.mean(column)) for column in zip(*by_seed.values(), strict=True)]
        lines.append(row(f"`{method}`", "mean", means))
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--config", type=Path, default=Path("configs/demo.toml"), help="%(default)s"
    )
    parser.add_argument(
        "--directory",
        type=Path,
        default=Path("runs/methods"),
        help="where the run directories are made (default: %(default)s)",
    )
    parser.add_argument(
        "--program",
        type=shlex.split,
        default=["build/release/longrope"],
        help="with its launcher, if any: 'mpirun -n 2 build/release/longrope' (default: "
        "build/release/longrope)",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3, 4, 5], help="%(default)s")
    parser.add_argument(
        "--marks",
        type=int,
        nargs="+",
        default=list(MARKS),
        help="numbers of evaluations to compare at (default: %(default)s)",
    )
    parser.add_argument(
        "--documents", type=int, default=2, help="search documents (default: %(default)s)"
    )
    arguments = parser.parse_args()

    marks = sorted(arguments.marks)
    base = tomllib.loads(arguments.config.read_text(encoding="utf-8"))
    iterations = iterations_for(marks[-1], base["stage"][0])
    arguments.directory.mkdir(parents=True, exist_ok=True)
    results: dict[str, dict[int, list[float]]] = {method: {} for method in METHODS}
    for seed in arguments.seeds:
        for method in METHODS:
            run = arguments.directory / f"{method}-{seed}"
            config = run.with_suffix(".toml")
            tables = configuration(base, method, seed, iterations, arguments.documents, run)
            config.write_text(to_toml(tables), encoding="utf-8")
            print(f"{method}, seed {seed}", file=sys.stderr, flush=True)
            command = [*arguments.program, "search", str(config)]
            ended = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
            if ended.returncode != 0:
                print(f"{shlex.join(command)}: exit status {ended.returncode}", file=sys.stderr)
                return ended.returncode
            history = run / "search.h5"
            results[method][seed] = [baseline(history, "yarn"), *best_so_far(history, marks)]
    print(markdown_table(results, marks))
    return 0


if __name__ == "__main__":
    sys.exit(main())
