# SPDX-License-Identifier: Apache-2.0
"""Checks the course of scripts/check_gpu.sh and its report, with stand-ins for what it runs.

Usage: python tests/run_python_test.py tests/scripts/check_gpu_test.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEVICE = """{"backend":{"f32":"cpu","bf16":"cuda"},"cuda":{"reason":"","devices":[{"index":0,\
"name":"NVIDIA H200","holders":[{"pid":%s,"program":"gpu_check","bytes":%s}]}]}}"""
# As gpu_check prints; with ROW 0 it computes until it is killed.
GPU_CHECK = """echo $$ >"$STAND_INS/holder"
[ "$2" != 0 ] || exec sleep 100
echo "a line before"
echo '{"device":"NVIDIA H200","attention_row":{"passed":true},"layers":4,"throughput":[]}'
[ -z "$SLOW" ] || { printf '{"device":"NVI'; exec sleep 100; }
echo '{"device":"NVIDIA H200","attention_row":{"passed":true},"layers":4,"throughput":[\
{"positions":4096,"tokens_per_second":100.0,"tflop_per_second":494.5}]}'"""
GPU_TESTS = """for word; do
    case $word in --out=*) cat >"${word#--out=}" <<'END'
<testsuites><testsuite>
<testcase name="right"/><testcase name="wrong">%s</testcase>
</testsuite></testsuites>
END
    esac
done
exit %d"""


class CheckGpuTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        for name, text in (
            ("nvidia-smi", ""),
            ("ldconfig", "echo libcublasLt.so.13 libcudnn.so.9 libnvrtc.so.13"),
            ("compute-sanitizer", 'echo "$@"'),
        ):
            self.add(self.bin, name, text)

    def add(self, folder: Path, name: str, text: str) -> None:
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)

    def pack(self, *, failing: bool = False, held_bytes: int = 10**9) -> Path:
        packed = self.folder / "packed"
        packed.mkdir()
        (packed / "lib").mkdir()
        (packed / "commit").write_text("0123456789ab\n")
        named = DEVICE % ("$(cat $STAND_INS/holder || echo 1)", str(held_bytes))
        self.add(packed, "longrope", f"cat <<END\n{named}\nEND")
        self.add(packed, "gpu_check", GPU_CHECK)
        failure = '<failure message="4 == 5">at line 7</failure>' if failing else ""
        self.add(packed, "gpu_tests", GPU_TESTS % (failure, int(failing)))
        archive = self.folder / "packed.tar.xz"
        with tarfile.open(archive, "w:xz") as file:
            file.add(packed, ".")
        return archive

    def run_check(self, archive: Path, **settings: str) -> subprocess.CompletedProcess[str]:
        report = self.folder / "report.json"
        return subprocess.run(
            [ROOT / "scripts" / "check_gpu.sh", "--packed", archive, "--output", report],
            env=os.environ
            | {
                "PATH": f"{self.bin}:{os.environ['PATH']}",
                "STAND_INS": str(self.folder),
                "SLOW": "",
            }
            | settings,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def check(self, archive: Path, **settings: str) -> tuple[int, dict]:
        done = self.run_check(archive, **settings)
        report = self.folder / "report.json"
        self.assertTrue(report.exists(), done.stderr)
        return done.returncode, json.loads(report.read_text())

    def steps(self, report: dict) -> dict[str, int]:
        return {step["name"]: step["status"] for step in report["steps"]}

    def test_what_passes_is_reported(self) -> None:
        work = self.folder / "kept"
        status, report = self.check(self.pack(), WORK=str(work))
        self.assertEqual(status, 0, report)
        names = ("gpu_tests", "measure", "holder", "memcheck", "initcheck")
        self.assertEqual(self.steps(report), dict.fromkeys(names, 0))
        self.assertTrue(report["passed"])
        self.assertEqual(report["commit"], "0123456789ab")
        expected = {"run": 2, "failed": [], "skipped": [], "messages": {}}
        self.assertEqual(report["gpu_tests"], expected)
        self.assertIsNone(report["suite"])
        row = report["measurements"]["throughput"][0]
        self.assertAlmostEqual(row["share_of_peak"], 0.5)
        self.assertIn("--tool initcheck --kernel-name", (work / "initcheck.log").read_text())

    def test_what_fails_is_reported_and_the_rest_runs(self) -> None:
        status, report = self.check(self.pack(failing=True))
        self.assertEqual(status, 1)
        self.assertFalse(report["passed"])
        self.assertEqual(report["gpu_tests"]["failed"], ["wrong"])
        self.assertEqual(report["gpu_tests"]["messages"], {"wrong": ["4 == 5 at line 7"]})
        self.assertEqual(self.steps(report)["gpu_tests"], 1)
        self.assertEqual(self.steps(report)["measure"], 0)

    def test_a_step_that_hangs_is_ended(self) -> None:
        status, report = self.check(self.pack(), SLOW="yes", MEASURE_SECONDS="1")
        self.assertEqual(status, 1)
        self.assertEqual(self.steps(report)["measure"], 124)
        self.assertTrue(report["measurements"]["attention_row"]["passed"], "found before it hung")
        self.assertEqual(report["measurements"]["throughput"], [])
        self.assertEqual(self.steps(report)["holder"], 0)

    def test_a_backend_that_is_not_there_is_no_machine_without_a_gpu(self) -> None:
        for reason, status in (
            ("the GPU backend cannot be loaded: libcublas.so", 1),
            ("this build has no GPU backend", 1),
            ("no device of compute capability 8.0 or newer", 77),
        ):
            with self.subTest(reason):
                archive = self.pack()
                unpacked = self.folder / "packed"
                self.add(unpacked, "longrope", f'echo \'cuda not taken: {reason} "bf16":"cpu"\'')
                with tarfile.open(archive, "w:xz") as file:
                    file.add(unpacked, ".")
                shutil.rmtree(unpacked)
                done = self.run_check(archive)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(reason, done.stderr)

    def test_a_holder_without_memory_is_not_enough(self) -> None:
        work = self.folder / "kept"
        archive = self.pack(held_bytes=0)
        status, report = self.check(archive, HOLDER_SECONDS="2", WORK=str(work))
        # A container with processes of its own is told other numbers, or none.
        of_host = os.readlink("/proc/self/ns/pid") == "pid:[4026531836]"
        self.assertEqual(status, int(of_host))
        self.assertEqual(self.steps(report)["holder"], int(of_host))
        self.assertIn("was not named within 2 s", (work / "holder.log").read_text())


if __name__ == "__main__":
    unittest.main()
