# SPDX-License-Identifier: Apache-2.0
"""The set-up scripts on systems that are not this one: nothing is installed, built or tested.

Usage: python tests/run_python_test.py tests/structure/setup_scripts_test.py
"""

import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted((ROOT / "scripts").glob("**/*.sh"))
TOOLS = "bash env cat grep awk sed tail mktemp rm dirname uname sleep touch nproc".split()


class ImaginedSystem:
    """A checkout and a PATH of their own; every command that could change something is a fake."""

    def __init__(
        self, folder: Path, installed: str = "*", uid: int = 1000, apt: bool = True
    ) -> None:
        self.root = folder / "checkout"
        self.bin = folder / "bin"
        self._calls = folder / "calls"
        (self.root / "scripts").mkdir(parents=True)
        for name in ("", ".txt", "-training.txt", "-cuda.txt"):
            name = f"requirements{name}" if name else "install_dependencies.sh"
            shutil.copy(ROOT / "scripts" / name, self.root / "scripts")
        self.bin.mkdir()
        for tool in TOOLS:
            found = shutil.which(tool)
            assert found is not None, tool
            (self.bin / tool).symlink_to(found)
        self.add("id", f"echo {uid}")
        (self.root / ".venv" / "bin").mkdir(parents=True)
        self.add("python", "exit 0", self.root / ".venv" / "bin")
        if apt:
            self.add("apt-get", "exit 0")
            self.add("apt-cache", "exit 0")
            # dpkg-query -W -f=FORMAT NAME
            self.add("dpkg-query", f'case "$3" in {installed}) printf installed;; *) exit 1;; esac')

    def add(self, name: str, script: str, folder: Path | None = None) -> None:
        file = (folder or self.bin) / name
        file.write_text(f'#!/bin/sh\necho "{name} $*" >>{self._calls}\n{script}\n')
        file.chmod(0o755)

    def calls(self, name: str) -> list[str]:
        lines = self._calls.read_text().splitlines() if self._calls.exists() else []
        return [line for line in lines if line.startswith(name + " ")]

    def install(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.root / "scripts" / "install_dependencies.sh", *arguments],
            env={"PATH": str(self.bin), "TMPDIR": str(self.bin.parent), "APT_LOCK_SECONDS": "1"},
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=60,
        )


class MpiSearch(unittest.TestCase):
    def test_the_launcher_may_have_options(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            system = ImaginedSystem(Path(folder))
            system.add("launcher", "exit 0")
            done = subprocess.run(
                ["bash", "-euc", '. scripts/mpi_search.bash; mpirun_options; echo "${mpi[*]}"'],
                cwd=ROOT,
                env={"PATH": str(system.bin), "MPIRUN": "launcher --mca btl ^openib", "RANKS": "2"},
                text=True,
                capture_output=True,
                timeout=60,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            command = "launcher --mca btl ^openib --bind-to none --enable-recovery -n 2"
            self.assertEqual(done.stdout, f"{command}\n")
            self.assertEqual(system.calls("launcher"), [f"{command} true"])


class InstallDependencies(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_nothing_is_asked_of_apt_when_everything_is_there(self) -> None:
        system = ImaginedSystem(self.folder)
        done = system.install()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(system.calls("apt-get"), [])

    def test_root_installs_what_is_missing_and_removes_nothing(self) -> None:
        system = ImaginedSystem(self.folder, installed="[!g]*", uid=0)
        done = system.install()
        self.assertEqual(done.returncode, 0, done.stderr)
        update, install = system.calls("apt-get")
        self.assertTrue(update.endswith(" update"), update)
        self.assertTrue(install.endswith(" --no-remove g++ git"), install)

    def test_a_user_with_sudo_installs_through_it(self) -> None:
        system = ImaginedSystem(self.folder, installed="[!g]*")
        system.add("sudo", 'case "$1" in -n) exit 0;; esac; exec "$@"')
        done = system.install()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(system.calls("apt-get")[-1].endswith("g++ git"))

    def test_a_user_without_sudo_is_told_what_to_ask_for(self) -> None:
        for sudo in (None, "exit 1"):
            with self.subTest(sudo=sudo), tempfile.TemporaryDirectory() as folder:
                system = ImaginedSystem(Path(folder), installed="[!g]*")
                if sudo:
                    system.add("sudo", sudo)
                done = system.install()
                self.assertEqual(done.returncode, 1)
                self.assertIn(
                    "Ask an administrator for\n    apt-get install g++ git\n", done.stderr
                )
                self.assertEqual(system.calls("apt-get"), [])

    def test_an_apt_failure_is_shown_with_advice(self) -> None:
        for said, advice in (
            ("E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by 12", "wait until"),
            ("E: Unable to locate package libdnnl-dev", "Debian 12's"),
            ("E: Failed to fetch http://x/g++.deb  Could not resolve 'x'", "cannot be reached"),
            ("E: You don't have enough free space in /var/cache", "disk is full"),
            ("E: Packages need to be removed but remove is disabled.", "Decide that yourself"),
        ):
            with self.subTest(said=said), tempfile.TemporaryDirectory() as folder:
                system = ImaginedSystem(Path(folder), installed="[!g]*", uid=0)
                system.add(
                    "apt-get", f'case "$*" in *update) exit 0;; esac; echo "{said}" >&2; exit 100'
                )
                done = system.install()
                self.assertEqual(done.returncode, 1)
                self.assertIn(said, done.stderr)
                self.assertIn(advice, done.stderr)
                self.assertNotIn("everything is installed", done.stderr)

    def test_lists_that_cannot_be_renewed_do_not_stop_an_installation(self) -> None:
        system = ImaginedSystem(self.folder, installed="[!g]*", uid=0)
        system.add("apt-get", 'case "$*" in *update) echo "E: broken source"; exit 100;; esac')
        done = system.install()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("E: broken source", done.stderr)

    def test_another_boost_is_explained_rather_than_removed(self) -> None:
        system = ImaginedSystem(self.folder, uid=0)
        system.add(
            "dpkg-query",
            'case "$3" in "libboost[0-9]*-dev") printf "libboost1.74-dev installed\\n";;'
            " libboost*) exit 1;; *) printf installed;; esac",
        )
        done = system.install()
        self.assertEqual(done.returncode, 1)
        self.assertIn("libboost1.74-dev", done.stderr)
        self.assertEqual(system.calls("apt-get"), [])

    def test_another_system_is_told_what_it_needs(self) -> None:
        system = ImaginedSystem(self.folder, apt=False)
        done = system.install()
        self.assertEqual(done.returncode, 1)
        for needed in ("Boost 1.81", "oneDNN", "not found: g++ cmake ninja git mpirun python3"):
            self.assertIn(needed, done.stderr)
        for name in ("g++", "cmake", "ninja", "git", "mpirun", "python3"):
            system.add(name, "exit 0")
        self.assertEqual(system.install().returncode, 0)

    def test_training_adds_its_packages(self) -> None:
        system = ImaginedSystem(self.folder)
        system.install()
        self.assertNotIn("requirements-training.txt", system.calls("python")[-1])
        system.install("--training")
        self.assertIn("requirements-training.txt", system.calls("python")[-1])

    def test_cudnn_frontend_is_installed_when_asked_for_and_where_there_is_nvcc(self) -> None:
        system = ImaginedSystem(self.folder)
        system.install()
        self.assertNotIn("requirements-cuda.txt", system.calls("python")[-1])
        system.install("--cuda")
        self.assertIn("--no-deps -r scripts/requirements-cuda.txt", system.calls("python")[-1])
        system.add("nvcc", "exit 0")
        before = len(system.calls("python"))
        system.install()
        self.assertIn("requirements-cuda.txt", system.calls("python")[-1])
        self.assertGreater(len(system.calls("python")), before)

    def test_without_cudnn_frontend_all_else_is_installed(self) -> None:
        system = ImaginedSystem(self.folder)
        refusal = 'case "$*" in *requirements-cuda*) exit 1;; esac'
        system.add("python", refusal, system.root / ".venv" / "bin")
        system.add("nvcc", "exit 0")
        done = system.install()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("the GPU backend will be left out", done.stderr)
        self.assertEqual(system.install("--cuda").returncode, 1)

    def test_slurm_is_installed_only_when_asked_for(self) -> None:
        for flags, expected in (
            ((), "g++ git"),
            (("--slurm",), "g++ git slurmctld slurmd slurm-client"),
        ):
            with self.subTest(flags), tempfile.TemporaryDirectory() as folder:
                system = ImaginedSystem(Path(folder), installed="[!gs]*|ss*", uid=0)
                done = system.install(*flags)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertTrue(system.calls("apt-get")[-1].endswith(f"--no-remove {expected}"))

    def test_fuzzing_adds_its_packages(self) -> None:
        system = ImaginedSystem(self.folder, installed="[!cl]*", uid=0)
        system.install()
        self.assertNotIn("clang", system.calls("apt-get")[-1])
        system.install("--fuzzing")
        self.assertTrue(
            system.calls("apt-get")[-1].endswith(" clang libclang-rt-dev llvm"),
            system.calls("apt-get")[-1],
        )

    def test_a_failing_pip_fails_the_script(self) -> None:
        system = ImaginedSystem(self.folder)
        system.add("python", 'case "$3" in install) exit 1;; esac', system.root / ".venv" / "bin")
        done = system.install()
        self.assertEqual(done.returncode, 1)
        self.assertIn("pip could not install", done.stderr)


class TestScript(unittest.TestCase):
    """scripts/test.sh with a CTest of its own, and nothing to install or build."""

    REPORT = (
        '<testsuite><testcase name="a: b" status="notrun"><skipped message="x"/>'
        "<system-out>skipped: no such package</system-out></testcase></testsuite>"
    )
    SUMMARY = "100% tests passed, 0 tests failed out of 2"

    def run_with(self, ctest: str) -> subprocess.CompletedProcess[str]:
        with tempfile.TemporaryDirectory() as folder:
            root, path = Path(folder) / "checkout", Path(folder) / "bin"
            for part in (root / "scripts", root / ".venv" / "bin", root / "build/release", path):
                part.mkdir(parents=True)
            for name in ("test.sh", "list_skipped_tests.py"):
                shutil.copy(ROOT / "scripts" / name, root / "scripts")
            for name in ("install_dependencies.sh", "build.sh"):
                (root / "scripts" / name).write_text("#!/bin/sh\nexit 0\n")
                (root / "scripts" / name).chmod(0o755)
            (root / "scripts" / "prepare_demo.py").write_text("")
            (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
            (path / "ctest").write_text(f"#!/bin/sh\n{ctest}\n")
            (path / "ctest").chmod(0o755)
            return subprocess.run(
                [root / "scripts" / "test.sh"],
                env={"PATH": f"{path}:{os.environ['PATH']}"},
                text=True,
                capture_output=True,
                timeout=60,
            )

    def test_skipped_tests_are_named_before_the_summary_which_stays_last(self) -> None:
        done = self.run_with(
            f"echo '{self.REPORT}' >build/release/tests.xml; echo '{self.SUMMARY}'\n"
            "echo; echo 'The following tests did not run:'"
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            done.stdout.splitlines()[-3:],
            [
                "skipped: a: b: no such package",
                "1 tests skipped, 0 more in part",
                self.SUMMARY,
            ],
        )

    def test_a_run_without_a_report_is_no_success(self) -> None:
        done = self.run_with(f"echo '{self.SUMMARY}'")
        self.assertEqual(done.returncode, 1)
        self.assertIn("cannot read build/release/tests.xml", done.stderr)

    def test_the_status_is_that_of_ctest(self) -> None:
        done = self.run_with(
            f"echo '{self.REPORT}' >build/release/tests.xml; "
            "echo '50% tests passed, 1 tests failed out of 2'; exit 8"
        )
        self.assertEqual(done.returncode, 8, done.stderr)


class EveryScript(unittest.TestCase):
    def test_help_is_printed_and_changes_nothing(self) -> None:
        for script in SCRIPTS:
            with self.subTest(script=script.name):
                done = subprocess.run(
                    [script, "--help"], text=True, capture_output=True, timeout=60
                )
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertIn(f"usage: {script.relative_to(ROOT)}", done.stdout)

    def test_an_unknown_argument_is_refused(self) -> None:
        for script in SCRIPTS:
            with self.subTest(script=script.name):
                done = subprocess.run(
                    [script, "--wrong"], text=True, capture_output=True, timeout=60
                )
                self.assertEqual(done.returncode, 2)
                self.assertIn("--wrong", done.stderr)

    def test_scripts_are_executable_and_parse(self) -> None:
        for script in SCRIPTS:
            with self.subTest(script=script.name):
                self.assertTrue(os.access(script, os.X_OK))
                subprocess.run(["bash", "-n", script], check=True)


if __name__ == "__main__":
    unittest.main()
