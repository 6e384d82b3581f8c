# SPDX-License-Identifier: Apache-2.0
"""Runs the main() of a script as its command line would, within the test's process.

Usage, in a test:
    status, out, err = run_main(prepare_demo, "--output", file)
"""

from __future__ import annotations

import contextlib
import io
import sys
from types import ModuleType
from unittest import mock


def run_main(script: ModuleType, *arguments: object) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the script with these arguments."""
    argv = [f"{script.__name__}.py", *(str(argument) for argument in arguments)]
    out, err = io.StringIO(), io.StringIO()
    with (
        mock.patch.object(sys, "argv", argv),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        status = script.main()
    return status, out.getvalue(), err.getvalue()
