# SPDX-License-Identifier: Apache-2.0
"""Usage: BENCHMARK=build/release/evaluator_benchmark \\
          python tests/run_python_test.py tests/benchmarks/compare_peers_test.py

What compare_peers.py makes of runs, and a comparison whose peers are not there.
"""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import h5py
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "benchmarks"))

import compare_peers as peers  # noqa: E402

PARITY = ROOT / "tests" / "fixtures" / "parity"
BENCHMARK = Path(os.environ.get("BENCHMARK", ROOT / "build" / "release" / "evaluator_benchmark"))
POSITIONS = 100
CONTENDERS = {contender.name: contender for contender in peers.CONTENDERS}


def row(name: str, cpu_seconds: float, mean_nll: float, mebibytes: int = 1) -> peers.Row:
    memory = mebibytes << 20
    return peers.Row(CONTENDERS[name], 100, 1, 0, cpu_seconds, mean_nll, memory, memory)


class Comparison(unittest.TestCase):
    def test_ratios_are_to_the_fastest_and_leave_out_what_is_too_far_off(self) -> None:
        rows = [
            row("longrope f32", 4, 2.0),
            row("longrope bf16", 2, 2.0005),
            row("llama.cpp f32", 12, 2.0),
            row("transformers f32", 8, 2.0),
            row("transformers bf16", 6, 2.1),
        ]
        said = "\n".join(peers.comparison(rows))
        self.assertIn("f32: longrope f32 is 2.00 times as fast as transformers f32", said)
        self.assertIn("any type: longrope bf16 is 3.00 times as fast as transformers bf16", said)
        rows[1] = row("longrope bf16", 2, 2.002)
        said = "\n".join(peers.comparison(rows))
        self.assertIn("any type: longrope f32 is 1.50 times as fast as transformers bf16", said)

    def test_memory_is_our_most_against_the_least_of_the_others(self) -> None:
        rows = [
            row("longrope f32", 1, 2.0, 500),
            row("longrope bf16", 1, 2.0, 300),
            row("longrope f32, streamed", 1, 2.0, 250),
            row("longrope bf16, streamed", 1, 2.0, 150),
            row("transformers f32", 1, 2.0, 900),
            row("llama.cpp Q4_1", 1, 2.0, 400),
        ]
        said = "\n".join(peers.comparison(rows))
        others = "the least of the others 400 MiB (llama.cpp Q4_1)"
        self.assertIn(f"longrope f32 500 MiB, {others}", said)
        self.assertIn(f"longrope f32, streamed 250 MiB, {others}", said)

    def test_a_row_is_the_median_of_its_runs_and_the_most_of_its_memory(self) -> None:
        runs = [
            {
                "contender": CONTENDERS["llama.cpp f16"],
                "length": 101,
                "wall_seconds": 2 * seconds,
                "cpu_seconds": seconds,
                "sum_nll": 250.0,
                "peak_bytes": int(seconds),
                "private_bytes": 1,
            }
            for seconds in (5.0, 1.0, 2.0)
        ]
        (found,) = peers.summarise(runs)
        self.assertEqual((found.cpu_seconds, found.wall_seconds), (2.0, 4.0))
        self.assertEqual((found.runs, found.mean_nll, found.peak_bytes), (3, 2.5, 5))

    def test_losses_of_a_block_of_logits_are_those_of_the_formula(self) -> None:
        random = np.random.default_rng(1)
        logits = random.normal(0, 20, (71, 33)).astype(np.float32)
        targets = random.integers(0, 33, 70)  # the last row has no target
        exact = logits[:70].astype(np.float64)
        expected = np.log(np.exp(exact).sum(axis=1)) - exact[np.arange(70), targets]
        self.assertAlmostEqual(peers.sum_nll(logits, targets), expected.sum(), places=3)


class Program(unittest.TestCase):
    def compare(self, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        bare = folder / "python"  # an interpreter without any packages
        bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
        bare.chmod(0o755)
        command = [sys.executable, str(ROOT / "tests" / "benchmarks" / "compare_peers.py")]
        command += ["--model", str(ROOT / "tests/fixtures/models/tiny-gqa-tied")]
        command += ["--documents", str(PARITY / "tiny-gqa-tied_documents.h5")]
        command += ["--benchmark", str(BENCHMARK), "--llama-python", str(bare)]
        command += ["--torch-python", str(folder / "nowhere"), "--rounds", "2", *words]
        return subprocess.run(command, text=True, capture_output=True, timeout=300)

    def test_peers_that_are_not_installed_are_named_and_the_rest_is_measured(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            report = folder / "report.json"
            done = self.compare(
                folder, "--lengths", str(POSITIONS), "--json", str(report), "--only", "f32"
            )
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertRegex(done.stdout, "skipped: llama.cpp: .*No module named 'llama_cpp'")
            self.assertRegex(done.stdout, "skipped: transformers: .*cannot start .*nowhere")
            found = json.loads(report.read_text())
        self.assertEqual(set(found["skipped"]), {"llama.cpp", "transformers"})
        measured = sorted(run["contender"] for run in found["runs"])
        self.assertEqual(measured, ["longrope f32"] * 2 + ["longrope f32, streamed"] * 2)
        with h5py.File(PARITY / "tiny-gqa-tied_nll.h5") as file:
            expected = file["none/256/nll"][0, : POSITIONS - 1].sum(dtype=np.float64)
        for run in found["runs"]:
            self.assertAlmostEqual(run["sum_nll"], expected, delta=1e-5 * expected)
            self.assertGreater(run["peak_bytes"], run["private_bytes"])

    def test_what_fails_is_named_and_the_status_says_so(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            done = self.compare(Path(name), "--lengths", "100000", "--only", "longrope f32")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stdout, "failed: longrope f32, 100000 positions: .*document 0")

    def test_a_precision_without_instructions_for_it_is_skipped_by_name(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            words = ("--lengths", str(POSITIONS), "--only", "longrope")
            done = self.compare(Path(name), *words)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        has_bf16 = "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
        self.assertEqual("skipped: longrope bf16" in done.stdout, not has_bf16)

    def test_names_that_nothing_has_are_refused(self) -> None:
        with tempfile.TemporaryDirectory() as name:
            done = self.compare(Path(name), "--only", "vllm")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--only vllm names none of", done.stderr)


if __name__ == "__main__":
    unittest.main()
