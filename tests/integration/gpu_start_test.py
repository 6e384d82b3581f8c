# SPDX-License-Identifier: Apache-2.0
"""Checks what the program does about GPUs where there is none, or none that it can take.

Usage: python tests/run_python_test.py tests/integration/gpu_start_test.py

FAKE_MANAGEMENT names a library that stands in for the driver's management library; CUDA_STUBS the
folder of the CUDA toolkit's stub libcuda.so, where there is one. Where the driver shows a GPU, what
is said without one cannot be seen, and is skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from search_run import REPOSITORY, job_environment, program

FIXTURES = REPOSITORY / "tests" / "fixtures"
EXIT_CONFIGURATION, EXIT_NOBODY_LEFT = 3, 5
NO_MODULE = "this build has no GPU backend"


def module_is_built() -> bool:
    return bool(os.environ.get("CUDA_STUBS"))


def fake_management() -> Path:
    return Path(os.environ["FAKE_MANAGEMENT"])


class WithoutGpu(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_program(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(program()), *words],
            cwd=self.folder,
            env={**job_environment(), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def evaluate(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        model = FIXTURES / "models" / "tiny-gqa-tied"
        documents = FIXTURES / "parity" / "tiny-gqa-tied_documents.h5"
        inputs = ("--model", str(model), "--documents", str(documents), "--split", "search")
        choice = ("--tokens", "128", "--methods", "none", "--limit", "1", "--json")
        return self.run_program("evaluate", *inputs, *choice, *words, **environment)

    def devices(self, **environment: str) -> dict:
        answer = self.run_program("devices", "--json", **environment)
        self.assertEqual(answer.returncode, 0, answer.stderr)
        return json.loads(answer.stdout)

    def with_library(self, library: Path, name: str) -> dict[str, str]:
        """An environment in which `library` is found as `name`."""
        libraries = self.folder / "libraries"
        libraries.mkdir(exist_ok=True)
        (libraries / name).symlink_to(library)
        return {"LD_LIBRARY_PATH": str(libraries)}

    def require_no_gpu(self) -> dict:
        report = self.devices()
        if report["backend"]["bf16"] == "cuda":
            raise unittest.SkipTest("there is a GPU: what is said without one cannot be seen")
        return report

    def check_that_the_cpu_computes(self, reason: str, **environment: str) -> None:
        """With backend "auto"; and that backend "cuda" is refused in the same words."""
        answer = self.evaluate("--precision", "bf16", **environment)
        if "avx512_bf16" in Path("/proc/cpuinfo").read_text():
            self.assertEqual(answer.returncode, 0, answer.stderr)
            self.assertEqual(len(json.loads(answer.stdout)["results"]), 1)
        else:  # neither has bf16
            self.assertEqual(answer.returncode, EXIT_NOBODY_LEFT, answer.stderr)
            self.assertIn('precision = "bf16" needs AVX512_BF16', answer.stderr)
        self.assertIn("the CPU computes, since the GPU cannot: ", answer.stderr)
        self.assertIn(reason, answer.stderr)
        refused = self.evaluate("--precision", "bf16", "--backend", "cuda", **environment)
        self.assertEqual(refused.returncode, EXIT_NOBODY_LEFT, refused.stderr)
        self.assertEqual(refused.stdout, "")
        self.assertIn('evaluator.backend = "cuda", but the GPU cannot compute: ', refused.stderr)
        self.assertIn(reason, refused.stderr)

    def test_without_a_driver_the_cpu_computes_and_says_why(self) -> None:
        report = self.require_no_gpu()
        reason = report["cuda"]["reason"]
        self.assertIn("no NVIDIA driver" if module_is_built() else NO_MODULE, reason)
        self.assertEqual(report["backend"], {"f32": "cpu", "bf16": "cpu"})
        self.assertEqual(report["cuda"]["devices"], [])
        text = self.run_program("devices").stdout
        self.assertIn(f"cuda       not taken: {reason}", text)
        self.check_that_the_cpu_computes(reason)

    def test_a_job_that_has_gpus_does_not_compute_on_the_cpu_unasked(self) -> None:
        self.require_no_gpu()
        refused = self.evaluate("--precision", "bf16", CUDA_VISIBLE_DEVICES="0,1")
        self.assertEqual(refused.returncode, EXIT_NOBODY_LEFT, refused.stderr)
        self.assertIn("this job has GPUs (CUDA_VISIBLE_DEVICES=0,1), but none can", refused.stderr)
        self.assertIn('evaluator.backend = "cpu" takes the CPU all the same', refused.stderr)
        for none in ("", "-1"):
            answer = self.evaluate("--precision", "bf16", CUDA_VISIBLE_DEVICES=none)
            self.assertIn("the CPU computes, since the GPU cannot: ", answer.stderr)

    def test_in_float32_nothing_is_said_of_a_gpu_that_is_not_there(self) -> None:
        self.require_no_gpu()
        answer = self.evaluate()
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertEqual(answer.stderr, "")

    def test_a_stub_of_the_driver_is_no_driver(self) -> None:
        stubs = os.environ.get("CUDA_STUBS", "")
        self.require_no_gpu()
        if not stubs:
            raise unittest.SkipTest("no CUDA toolkit: its stub of the driver is not tried")
        environment = self.with_library(Path(stubs) / "libcuda.so", "libcuda.so.1")
        report = self.devices(**environment)
        self.assertIn("stub library", report["cuda"]["reason"])
        self.assertEqual(report["backend"]["bf16"], "cpu")
        self.check_that_the_cpu_computes("stub library", **environment)

    def test_cuda_goes_with_bf16(self) -> None:
        answer = self.evaluate("--backend", "cuda", "--precision", "f32")
        self.assertEqual(answer.returncode, EXIT_CONFIGURATION, answer.stderr)
        self.assertIn('use evaluator.precision = "bf16"', answer.stderr)

    def test_who_holds_a_device_is_named_with_pid_and_bytes(self) -> None:
        environment = self.with_library(fake_management(), "libnvidia-ml.so.1")
        environment["TEST_NVML_PID"] = str(os.getpid())
        devices = {
            device["uuid"][-1]: device for device in self.devices(**environment)["cuda"]["devices"]
        }
        self.assertEqual(devices["1"]["memory_bytes"], 85_520_809_984)
        self.assertEqual(devices["1"]["free_bytes"], 72_520_809_984)
        self.assertIsNone(devices["1"]["index"])
        program_name = Path("/proc/self/comm").read_text().strip()
        leftover, silent = devices["1"]["holders"]
        self.assertEqual(
            leftover, {"pid": os.getpid(), "program": program_name, "bytes": 12_884_901_888}
        )
        self.assertEqual((silent["pid"], silent["bytes"]), (1, 0))
        self.assertEqual(devices["2"]["holders"], [])
        text = self.run_program("devices", **environment).stdout
        self.assertIn(f"12884901888 bytes held by pid {os.getpid()} ({program_name}), ", text)
        self.assertIn("memory held by pid 1", text)

    def test_a_device_that_float32_leaves_idle_is_told_of(self) -> None:
        environment = self.with_library(fake_management(), "libnvidia-ml.so.1")
        answer = self.evaluate(**environment, TEST_NVML_PID="1")
        self.assertEqual(answer.returncode, 0, answer.stderr)
        self.assertIn("NVIDIA H100 80GB HBM3 is there, but the GPU backend computes", answer.stderr)

    def test_a_management_library_that_does_not_start_is_no_error(self) -> None:
        environment = self.with_library(fake_management(), "libnvidia-ml.so.1")
        known = ("name", "uuid", "architecture", "memory_bytes")  # without the library, too

        def devices(**environment: str) -> list[tuple[Any, ...]]:
            found = self.devices(**environment)["cuda"]["devices"]
            return [tuple(device[key] for key in known) for device in found]

        self.assertEqual(devices(**environment), devices())


if __name__ == "__main__":
    unittest.main()
