# SPDX-License-Identifier: Apache-2.0
"""Runs the unittest cases of one file, in the repository's Python environment where there is one.

Usage: python tests/run_python_test.py FILE [TEST...]

If a package of scripts/requirements*.txt that the file needs is not installed, the file runs under
the interpreter that TRAINING_PYTHON names in the environment; without one it exits with 77, which
CTest reports as skipped. So does a file all of whose tests are skipped. Any other import that fails
is an error, and so is a file that has no tests. Each skip is a line "skipped: WHAT: REASON" of the
output, which scripts/list_skipped_tests.py collects.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SKIPPED = 77


def optional_packages() -> set[str]:
    """Names of all packages that scripts/install_dependencies.sh can install."""
    lines = "\n".join(file.read_text() for file in (ROOT / "scripts").glob("requirements*.txt"))
    return {name.replace("-", "_") for name in re.findall(r"^([\w-]+)", lines, re.MULTILINE)}


def training_flag(package: str) -> str:
    default = (ROOT / "scripts" / "requirements.txt").read_text()
    return "" if re.search(rf"^{package}\b", default, re.MULTILINE) else " --training"


def is_running(python: Path) -> bool:
    return Path(sys.prefix) == python.parent.parent


def training_python() -> Path | None:
    """The interpreter with the packages for training that the user names, if any."""
    named = os.environ.get("TRAINING_PYTHON")
    return Path(named) if named else None


def enter_environment() -> None:
    """Goes on under .venv/bin/python, if that works and is not what is running."""
    python, training = ROOT / ".venv" / "bin" / "python", training_python()
    if training is not None and is_running(training):
        return
    if os.access(python, os.X_OK) and not is_running(python):
        os.execv(python, [str(python), *sys.argv])


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    enter_environment()
    file = Path(sys.argv[1]).resolve()
    sys.path.insert(0, str(file.parent))
    try:
        module = importlib.import_module(file.stem)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in optional_packages():
            raise
        training = training_python()
        if training is not None and not is_running(training):
            os.execv(training, [str(training), *sys.argv])
        print(
            f"skipped: {file.name}: {sys.executable} has no package '{package}'; "
            f"scripts/install_dependencies.sh{training_flag(package)} installs it"
        )
        return SKIPPED
    result = unittest.main(module=module, argv=[str(file), *sys.argv[2:]], exit=False).result
    for case, reason in result.skipped:
        print(f"skipped: {case.id().removeprefix(file.stem + '.')}: {reason}")
    if result.testsRun == 0:
        print(f"{file} has no tests", file=sys.stderr)
        return 1
    if not result.wasSuccessful():
        return 1
    return SKIPPED if len(result.skipped) == result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
