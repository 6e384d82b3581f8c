# SPDX-License-Identifier: Apache-2.0
"""What becomes of each GPU kernel: no spills, no stack, registers and shared memory that fit, and
no instruction that makes results depend on the order of threads or takes a slow unit.

Usage: NVCC=/usr/local/cuda/bin/nvcc python tests/run_python_test.py
       tests/structure/kernel_budgets_test.py

A kernel that spills or keeps arrays on a stack is slow and mostly a mistake (a double-precision
sincos takes 40 bytes of stack). Kernels are compiled for each architecture, nothing is run: no GPU
is needed. Without NVCC, all is skipped; without cuobjdump and nvdisasm, which `scripts/
install_dependencies.sh --cuda` brings, the instructions are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
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


# An instruction in cuobjdump's listing: its address, a predicate perhaps, the opcode.
INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]+\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)", re.MULTILINE)
FUNCTION = re.compile(r"^\s*Function : (\S+)$", re.MULTILINE)
UNWANTED = {
    "the sum depends on the order of threads": re.compile(r"(ATOM|ATOMG|ATOMS|RED|REDG)\b"),
    "local memory": re.compile(r"(LDL|STL)\b"),
    "double precision, 1/64 as fast on some devices": re.compile(r"(DADD|DMUL|DFMA|DSETP|F2F)\b"),
}


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


def unwanted(listing: str) -> dict[str, list[str]]:
    """The functions of a disassembly, and what each has that it should not have."""
    found = {}
    for name, body in zip(*[iter(FUNCTION.split(listing)[1:])] * 2, strict=True):
        opcodes = INSTRUCTION.findall(body)
        found[name] = [
            f"{opcode}: {why}"
            for why, pattern in UNWANTED.items()
            for opcode in sorted(set(filter(pattern.match, opcodes)))
        ]
        if not opcodes:
            found[name].append("no instruction was read")
    return found


def compile_report(nvcc: str, file: Path, output: Path) -> str:
    codes = [
        word for sm in ARCHITECTURES for word in ("-gencode", f"arch=compute_{sm},code=sm_{sm}")
    ]
    done = subprocess.run(
        [nvcc, "-std=c++20", "-O3", f"-I{ROOT}", *codes, "-Xptxas", "-v", "-fatbin"]
        + ["-o", str(output), str(file)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"nvcc cannot compile {file.name}:\n{done.stderr}")
    return done.stderr + done.stdout


def disassembler() -> dict[str, str] | None:
    """An environment whose PATH has cuobjdump and nvdisasm; None if there are none."""
    packages = sorted(Path(sysconfig.get_path("purelib")).glob("nvidia/cu*/bin"))
    path = os.pathsep.join([*map(str, packages), os.environ.get("PATH", "")])
    if not all(shutil.which(program, path=path) for program in ("cuobjdump", "nvdisasm")):
        return None
    return os.environ | {"PATH": path}


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

    def test_unwanted_instructions_are_found_in_the_function_that_has_them(self) -> None:
        listing = (
            "\t\tFunction : _Z4goodPf\n"
            "        /*0000*/                   LDG.E R2, desc[UR4][R2.64] ;  /* 0x04 */\n"
            "        /*0010*/              @!P0 FADD R5, R2, 1 ;\n"
            "\t\tFunction : _Z3badPf\n"
            "        /*0000*/               @P0 RED.E.ADD.F32.FTZ.RN.STRONG.GPU [R2.64], R5 ;\n"
            "        /*0010*/             @!UP0 STL.64 [R1], R2 ;\n"
            "        /*0020*/                   DFMA R2, R4, R6, R8 ;\n"
            "\t\tFunction : _Z5emptyv\n"
        )
        found = unwanted(listing)
        self.assertEqual(found["_Z4goodPf"], [])
        self.assertEqual([line[:4] for line in found["_Z3badPf"]], ["RED.", "STL.", "DFMA"])
        self.assertEqual(found["_Z5emptyv"], ["no instruction was read"])


class Kernels(unittest.TestCase):
    """All kernels, compiled once for both tests."""

    @classmethod
    def setUpClass(cls) -> None:
        nvcc = os.environ.get("NVCC", "")
        if not nvcc:
            raise unittest.SkipTest("no nvcc: what the GPU kernels are compiled to is not checked")
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.files = sorted(KERNELS.glob("*.cu"))
        cls.reports = {file: compile_report(nvcc, file, cls.compiled(file)) for file in cls.files}

    @classmethod
    def compiled(cls, file: Path) -> Path:
        return Path(cls.folder.name) / f"{file.stem}.fatbin"

    def test_every_launch_has_a_block_of_known_size(self) -> None:
        for file in KERNELS.glob("*.cu"):
            for launch in re.findall(r"\blaunch\((\w+), (\w+)", file.read_text()):
                self.assertIn(launch[1], ("shape_of_elements", "shape_of_warps"), launch[0])

    def test_no_kernel_is_over_its_budget(self) -> None:
        self.assertTrue(self.files)
        threads = most_threads()
        for file in self.files:
            kernels = file.read_text().count("__global__")
            found = usages(self.reports[file])
            with self.subTest(file.name):
                self.assertEqual(len(found), kernels * len(ARCHITECTURES))
                self.assertEqual({usage.architecture for usage in found}, set(ARCHITECTURES))
            for usage in found:
                with self.subTest(file.name, kernel=usage.name, architecture=usage.architecture):
                    self.assertEqual(over_budget(usage, threads), [])

    def test_no_kernel_has_an_unwanted_instruction(self) -> None:
        environment = disassembler()
        if environment is None:
            self.skipTest("no cuobjdump and nvdisasm: the kernels' instructions are not checked")
        for file in self.files:
            done = subprocess.run(
                ["cuobjdump", "-sass", str(self.compiled(file))],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            )
            sections = done.stdout.split("\narch = ")[1:]
            self.assertEqual(len(sections), len(ARCHITECTURES), file.name)
            for section in sections:
                found = unwanted(section)
                self.assertEqual(len(found), file.read_text().count("__global__"), file.name)
                for name, complaints in found.items():
                    with self.subTest(file.name, kernel=name, architecture=section[:6]):
                        self.assertEqual(complaints, [])


if __name__ == "__main__":
    unittest.main()
