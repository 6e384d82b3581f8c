# SPDX-License-Identifier: Apache-2.0
"""What a machine without NVIDIA's compiler builds: all but the GPU module, by the same commands.

Usage: COMPILE_COMMANDS=build/release/compile_commands.json NVCC=/usr/local/cuda/bin/nvcc
       python tests/run_python_test.py tests/structure/cpu_only_build_test.py

The build that this test belongs to has nvcc; it is configured once more with nvcc hidden. A source
that both compile by the same command, and every program linked of the same files by the same
command, need not be built twice to be known to build. Without NVCC this build is the one without.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
# Settings of a build that its commands depend on.
SETTINGS = re.compile(
    r"(CMAKE_(BUILD_TYPE|CXX_COMPILER|C_COMPILER|\w+_FLAGS\w*|\w+_COMPILER_LAUNCHER)"
    r"|LONGROPE_(TESTS|WARNINGS_AS_ERRORS|SANITIZE)|HDF5_\w+):\w+=(.*)"
)
# Where sources of the GPU module are, and the tests that need its compiler.
OF_THE_MODULE = ("evaluator/cuda/", "tests/gpu/", "tests/evaluator/cuda/")
NVIDIAS = re.compile(r"cuda(rt|_runtime|toolkit)|cublas|cudnn|nvidia|/cuda[-/]", re.IGNORECASE)


def commands_of(build: Path) -> dict[str, str]:
    """The command of each object file, both relative to the build folder."""
    entries = json.loads((build / "compile_commands.json").read_text())
    return {
        re.search(r" -o (\S+)", entry["command"])[1]: entry["command"].replace(str(build), "BUILD")
        for entry in entries
    }


def link_command(build: Path, target: str) -> str:
    listed = subprocess.run(
        ["ninja", "-C", str(build), "-t", "commands", "-s", target],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return listed.strip().splitlines()[-1].replace(str(build), "BUILD")


@unittest.skipUnless(os.environ.get("NVCC"), "no nvcc: this build is the one without it")
class WithoutNvcc(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.with_nvcc = Path(os.environ["COMPILE_COMMANDS"]).resolve().parent
        cache = (cls.with_nvcc / "CMakeCache.txt").read_text()
        settings = [
            f"-D{line}"
            for line in cache.splitlines()
            if SETTINGS.fullmatch(line) and "CUDA" not in line
        ]
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.without = Path(folder.name).resolve() / "build"
        configured = subprocess.run(
            ["cmake", "-S", str(ROOT), "-B", str(cls.without), "-G", "Ninja", *settings],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ | {"CUDACXX": "/nonexistent/nvcc"},
        )
        cls.said = configured.stdout + configured.stderr
        assert configured.returncode == 0, cls.said
        cls.commands = commands_of(cls.without)
        cls.commands_with = commands_of(cls.with_nvcc)

    def test_it_says_that_the_gpu_backend_is_left_out_and_why(self) -> None:
        self.assertIn("GPU backend: left out: no nvcc on PATH", self.said)

    def test_only_the_module_and_its_tests_are_missing(self) -> None:
        missing = self.commands_with.keys() - self.commands.keys()
        self.assertTrue(missing, "nvcc was not hidden")
        of_others = [name for name in missing if not name.startswith(OF_THE_MODULE)]
        self.assertEqual([name for name in of_others if "cublaslt_tests.dir" not in name], [])
        self.assertEqual(self.commands.keys() - self.commands_with.keys(), set())

    def test_the_rest_is_compiled_by_the_same_commands(self) -> None:
        for name, command in self.commands.items():
            self.assertEqual(command, self.commands_with[name], name)

    def test_nothing_of_nvidia_is_compiled_with_or_linked(self) -> None:
        for name, command in self.commands.items():
            places = [word for word in command.split() if word.startswith(("-I", "-isys", "/usr"))]
            self.assertEqual([place for place in places if NVIDIAS.search(place)], [], name)
        found = link_command(self.without, "longrope")
        self.assertEqual(NVIDIAS.findall(found.split(" -o ", 1)[1]), [], found)

    def test_the_program_is_linked_by_the_same_command(self) -> None:
        self.assertEqual(
            link_command(self.without, "longrope"), link_command(self.with_nvcc, "longrope")
        )


if __name__ == "__main__":
    unittest.main()
