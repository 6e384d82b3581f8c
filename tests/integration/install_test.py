# SPDX-License-Identifier: Apache-2.0
"""Checks that what cmake --install puts into a prefix works there.

Usage: python tests/run_python_test.py tests/integration/install_test.py
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from search_run import (
    DEMO_DOCUMENTS,
    EXIT_DONE,
    PATIENCE_SECONDS,
    needs_demo_documents,
    program,
    run_program,
)


@unittest.skipIf(shutil.which("cmake") is None, "cmake is not installed")
class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.prefix = Path(folder.name) / "a prefix"
        install = ["cmake", "--install", str(program().parent), "--prefix", str(cls.prefix)]
        manifest = program().parent / "install_manifest.txt"  # of who installed for good
        before = manifest.read_bytes() if manifest.exists() else None
        subprocess.run(install, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
        manifest.unlink()
        if before is not None:
            manifest.write_bytes(before)
        cls.share = cls.prefix / "share" / "longrope"

    def run_installed(self, *words: str) -> subprocess.CompletedProcess[str]:
        installed = self.prefix / "bin" / "longrope"
        return run_program(*words, folder=self.share, installed=installed)

    def test_the_program_and_its_gpu_backend_are_found(self) -> None:
        devices = self.run_installed("devices")
        self.assertEqual(devices.returncode, EXIT_DONE, devices.stderr)
        # Where the backend was built it lies beside the program, which says of it what there is.
        built = bool(os.environ.get("CUDA_STUBS"))
        self.assertEqual("this build has no GPU backend" in devices.stdout, not built)

    @needs_demo_documents()
    def test_the_demo_is_searched_from_the_folder_of_its_configuration(self) -> None:
        (self.share / "documents").mkdir()
        shutil.copy(DEMO_DOCUMENTS, self.share / "documents")
        checked = self.run_installed("search", "configs/demo.toml", "--check")
        self.assertEqual(checked.returncode, EXIT_DONE, checked.stderr)

    def test_what_is_for_the_sources_alone_is_left_out(self) -> None:
        scripts = {path.name for path in (self.share / "scripts").iterdir()}
        used = {"slurm", "finetune.py", "tokenize_documents.py", "install_dependencies.sh"}
        self.assertLessEqual(used, scripts)
        sources = {"build.sh", "test.sh", "quickstart.sh", "mpi_search.bash", "tiny_models.py"}
        self.assertFalse((sources | {"__pycache__"}) & scripts)
        self.assertTrue((self.prefix / "share" / "doc" / "longrope" / "LICENSE").is_file())


if __name__ == "__main__":
    unittest.main()
