# SPDX-License-Identifier: Apache-2.0
"""What ptxas says of each GPU kernel: no spills, no stack, registers and shared memory that fit.

Usage: NVCC=/usr/local/cuda/bin/nvcc python tests/run_python_test.py
       tests/structure/kernel_budgets_test.py

A kernel that spills or keeps arrays on a stack is slow and mostly a mistake (a double-precision
sincos takes 40 bytes of stack). Kernels are compiled for each architecture, nothing is run: no GPU
is needed. Without NVCC, all is skipped.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
KERNELS = ROOT / "evaluator" / "cuda" / "kernels"
ARCHITECTURES = ("80", "90", "100")
REGISTERS_OF_A_BLOCK = 65_536
SHARED_BYTES = 163 * 1024  # of a block of sm_80; sm_90 and sm_100 have 227

ENTRY = re.compile(
    r"Compiling entry function '(?P<name>[^']+)' for 'sm_(?P<sm>\d+)a?'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, "
    r"(?P<loads>\d+) bytes spill loads.*?Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


class Usage(NamedTuple):
    name: str
    architecture: str
    stack: int
    spilled: int
    registers: int
    shared: int


def usages(report: str) -> list[Usage]:
    """The kernels of `ptxas -v`'s report."""
    found = []
    for entry in ENTRY.finditer(report):
        shared = re.search(r"(\d+) bytes smem", entry["rest"])
        found.append(
            Usage(
                name=entry["name"],
                architecture=entry["sm"],
                stack=int(entry["stack"]),
                spilled=int(entry["stores"]) + int(entry["loads"]),
                registers=int(entry["registers"]),
                shared=int(shared[1]) if shared else 0,
            )
        )
    return found


def over_budget(usage: Usage, threads: int) -> list[str]:
    """What of a kernel is too much, in words."""
    complaints = []
    if usage.stack:
        complaints.append(f"{usage.stack} bytes of stack")
    if usage.spilled:
        complaints.append(f"{usage.spilled} bytes spilled")
    if usage.registers * threads > REGISTERS_OF_A_BLOCK:
        complaints.append(f"{usage.registers} registers in each of {threads} threads")
    if usage.shared > SHARED_BYTES:
        complaints.append(f"{usage.shared} bytes of shared memory")
    return complaints


def compile_report(nvcc: str, file: Path) -> str:
    codes = [
        word for sm in ARCHITECTURES for word in ("-gencode", f"arch=compute_{sm},code=sm_{sm}")
    ]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [nvcc, "-std=c++20", "-O3", f"-I{ROOT}", *codes, "-Xptxas", "-v", "-fatbin"]
            + ["-o", f"{folder}/kernels.fatbin", str(file)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise AssertionError(f"nvcc cannot compile {file.name}:\n{done.stderr}")
    return done.stderr + done.stdout


def most_threads() -> int:
    """Threads of the largest block that the kernels are launched with."""
    text = (KERNELS / "device_values.hpp").read_text()
    value = {
        name: int(re.search(rf"unsigned {name} = (\d+);", text)[1])
        for name in ("element_threads", "warp_lanes", "block_warps")
    }
    return max(value["element_threads"], value["warp_lanes"] * value["block_warps"])


class Report(unittest.TestCase):
    SAMPLE = (
        "ptxas info    : Compiling entry function '_Z4goodPf' for 'sm_80'\n"
        "ptxas info    : Function properties for _Z4goodPf\n"
        "    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads\n"
        "ptxas info    : Used 30 registers, used 1 barriers, 1024 bytes smem, 440 bytes cmem[0]\n"
        "ptxas info    : Compiling entry function '_Z3badPf' for 'sm_90'\n"
        "ptxas info    : Function properties for _Z3badPf\n"
        "    40 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads\n"
        "ptxas info    : Used 255 registers, used 0 barriers\n"
    )

    def test_a_report_is_read_kernel_by_kernel(self) -> None:
        good, bad = usages(self.SAMPLE)
        self.assertEqual(good, Usage("_Z4goodPf", "80", 0, 0, 30, 1024))
        self.assertEqual(bad, Usage("_Z3badPf", "90", 40, 12, 255, 0))

    def test_each_excess_is_found(self) -> None:
        good, bad = usages(self.SAMPLE)
        self.assertEqual(over_budget(good, 1024), [])
        self.assertEqual(
            over_budget(bad, 512),
            ["40 bytes of stack", "12 bytes spilled", "255 registers in each of 512 threads"],
        )
        self.assertEqual(
            over_budget(good._replace(shared=SHARED_BYTES + 1), 1024),
            [f"{SHARED_BYTES + 1} bytes of shared memory"],
        )


class Budgets(unittest.TestCase):
    nvcc = ""

    @classmethod
    def setUpClass(cls) -> None:
        cls.nvcc = os.environ.get("NVCC", "")
        if not cls.nvcc:
            raise unittest.SkipTest("no nvcc: the GPU kernels' registers and stack are not checked")

    def test_every_launch_has_a_block_of_known_size(self) -> None:
        for file in KERNELS.glob("*.cu"):
            for launch in re.findall(r"\blaunch\((\w+), (\w+)", file.read_text()):
                self.assertIn(launch[1], ("shape_of_elements", "shape_of_warps"), launch[0])

    def test_no_kernel_is_over_its_budget(self) -> None:
        files = sorted(KERNELS.glob("*.cu"))
        self.assertTrue(files)
        threads = most_threads()
        for file in files:
            kernels = file.read_text().count("__global__")
            found = usages(compile_report(self.nvcc, file))
            with self.subTest(file.name):
                self.assertEqual(len(found), kernels * len(ARCHITECTURES))
                self.assertEqual({usage.architecture for usage in found}, set(ARCHITECTURES))
            for usage in found:
                with self.subTest(file.name, kernel=usage.name, architecture=usage.architecture):
                    self.assertEqual(over_budget(usage, threads), [])


if __name__ == "__main__":
    unittest.main()
