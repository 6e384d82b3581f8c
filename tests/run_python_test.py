# SPDX-License-Identifier: Apache-2.0
"""Runs the unittest cases of one file, in the repository's Python environment where there is one.

Usage: python tests/run_python_test.py FILE [TEST...]

Exits with 77, which CTest reports as skipped, if a package of scripts/requirements*.txt that the
file needs is not installed. Any other import that fails is an error, and so is a file that has no
tests.
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
    return set(re.findall(r"^([A-Za-z0-9_]+)", lines, re.MULTILINE))


def enter_environment() -> None:
    """Goes on under .venv/bin/python, if that works and is not what is running."""
    python = ROOT / ".venv" / "bin" / "python"
    if os.access(python, os.X_OK) and Path(sys.prefix) != ROOT / ".venv":
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
        print(
            f"skipped {file.name}: {sys.executable} has no package '{package}'; "
            "scripts/install_dependencies.sh installs it"
        )
        return SKIPPED
    result = unittest.main(module=module, argv=[str(file), *sys.argv[2:]], exit=False).result
    if result.testsRun == 0:
        print(f"{file} has no tests", file=sys.stderr)
        return 1
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main())
