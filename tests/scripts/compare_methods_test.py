# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/scripts/compare_methods_test.py

The program is imagined: a script that writes a history as the configuration asks for.
"""

import sys
import tempfile
import tomllib
import unittest
from pathlib import Path

import h5py
import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "scripts"), str(Path(__file__).parent)]

import compare_methods  # noqa: E402
from run_main import run_main  # noqa: E402

CONFIGURATION = """
[evaluator]
backend = "synthetic"
[evaluator.synthetic]
dimensions = 8
[run]
directory = "runs/other"
allow_mixed_numerics = false
[[stage]]
name = "the \\"long\\" one"
target_tokens = 2048
population = 4
parents = 2
mutations = 2
crossovers = 1
grid_step = 0.001
bound = "1.25s"
start_tokens = "gene"
"""

# Individual k of seed s has perplexity 50 - k + s, by the reference one more; the second failed.
PROGRAM = """
import pathlib, sys, tomllib
import h5py, numpy
config = tomllib.loads(open(sys.argv[2]).read())
(stage,) = config["stage"]
count = stage["population"] + stage["iterations"] * (stage["mutations"] + stage["crossovers"])
rows = numpy.zeros(count, [("status", "u1"), ("perplexity", "f8")])
rows["status"] = 1
rows["perplexity"] = 50.0 - numpy.arange(count) + config["run"]["seed"]
rows["perplexity"] += stage["method"] == "reference"
rows[1] = (2, 1.0)
names = h5py.string_dtype()
scores = numpy.array([("none", 90.0), ("yarn", 48.34)], [("name", names), ("perplexity", "f8")])
folder = pathlib.Path(config["run"]["directory"])
folder.mkdir(exist_ok=True)
with h5py.File(folder / "search.h5", "w") as file:
    group = file.create_group("stages/long")
    group["evaluations"] = rows
    group["baselines/scores"] = scores
"""


class CompareMethods(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_a_run_differs_from_the_configuration_in_what_is_compared(self) -> None:
        base = tomllib.loads(CONFIGURATION)
        run = compare_methods.configuration(base, "reference", 3, 9, 2, Path("runs/x"))
        self.assertEqual(tomllib.loads(compare_methods.to_toml(run)), run)
        self.assertEqual(run["run"]["seed"], 3)
        self.assertEqual(run["run"]["directory"], "runs/x")
        self.assertEqual(run["documents"]["search"], 2)
        self.assertEqual(run["evaluator"], base["evaluator"])
        (stage,) = run["stage"]
        self.assertEqual((stage["method"], stage["iterations"]), ("reference", 9))
        self.assertFalse({"grid_step", "bound", "start_tokens"} & stage.keys())

    def test_several_stages_are_refused(self) -> None:
        base = tomllib.loads(CONFIGURATION) | {"stage": [{}, {}]}
        with self.assertRaisesRegex(ValueError, "2 stages"):
            compare_methods.configuration(base, "paper", 1, 9, 2, Path("runs/x"))

    def test_iterations_reach_the_last_mark(self) -> None:
        self.assertEqual(compare_methods.iterations_for(400, {}), 11)
        self.assertEqual(compare_methods.iterations_for(64, {}), 0)
        self.assertEqual(compare_methods.iterations_for(65, {}), 1)
        self.assertEqual(compare_methods.iterations_for(10, {"population": 64}), 0)

    def test_a_history_that_ends_too_early_is_refused(self) -> None:
        rows = np.ones(3, [("status", "u1"), ("perplexity", "f8")])
        with h5py.File(self.folder / "search.h5", "w") as file:
            file["stages/long/evaluations"] = rows
        with self.assertRaisesRegex(ValueError, "3 individuals, not 4"):
            compare_methods.best_so_far(self.folder / "search.h5", [2, 4])

    def run_script(self, program: str) -> tuple[int, str]:
        (self.folder / "program.py").write_text(program)
        (self.folder / "c.toml").write_text(CONFIGURATION)
        words = ["--config", str(self.folder / "c.toml"), "--marks", "8", "2", "--seeds", "1", "3"]
        words += ["--directory", str(self.folder / "runs")]
        words += ["--program", f"{sys.executable} {self.folder / 'program.py'}"]
        status, out, _ = run_main(compare_methods, *words)
        return status, out

    def test_the_table_has_the_best_of_the_first_individuals_and_the_means(self) -> None:
        status, table = self.run_script(PROGRAM)
        self.assertEqual(status, 0)
        self.assertEqual(
            table.splitlines(),
            [
                "| method | seed | YaRN | after 2 | after 8 |",
                "|---|---|---|---|---|",
                "| `paper` | 1 | 48.34 | 51.00 | 44.00 |",
                "| `paper` | 3 | 48.34 | 53.00 | 46.00 |",
                "| `paper` | mean | 48.34 | 52.00 | 45.00 |",
                "| `reference` | 1 | 48.34 | 52.00 | 45.00 |",
                "| `reference` | 3 | 48.34 | 54.00 | 47.00 |",
                "| `reference` | mean | 48.34 | 53.00 | 46.00 |",
            ],
        )

    def test_a_search_that_fails_ends_the_comparison(self) -> None:
        self.assertEqual(self.run_script("import sys; sys.exit(75)"), (75, ""))


if __name__ == "__main__":
    unittest.main()
