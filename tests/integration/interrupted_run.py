# SPDX-License-Identifier: Apache-2.0
"""Runs of the program that are interrupted at a chosen call on a file of their run directory.

The calls are counted, and the interruption made, by interrupted_calls.c, which LD_PRELOAD puts
before the C library; it says what can be done to a call. It is $INTERRUPTED_CALLS, without it the
one in the folder of the program.
"""

from __future__ import annotations

import atexit
import errno
import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from search_run import SearchRun, program


@functools.cache
def library() -> Path:
    """The shared module of interrupted_calls.c, by a name without spaces: the loader divides
    LD_PRELOAD there."""
    built = program().parent / "tests" / "integration" / "libinterrupted_calls.so"
    path = Path(os.environ.get("INTERRUPTED_CALLS", built))
    if not path.is_file():
        raise AssertionError(f"{path} does not exist: build it, or name it in $INTERRUPTED_CALLS")
    if " " not in str(path):
        return path
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    (folder / path.name).symlink_to(path)
    return folder / path.name


@dataclass(frozen=True)
class Interruption:
    """What happens at which call."""

    at: int  # from 1
    action: str
    error: int = 0  # errno, where a call fails
    seconds: float = 0.0

    def __str__(self) -> str:
        return f"{self.action} {errno.errorcode.get(self.error, '')} at call {self.at}"

    def environment(self, run: SearchRun) -> dict[str, str]:
        """The variables that make it happen to a job of `run`."""
        return watched(run) | {
            "CALLS_AT": str(self.at),
            "CALLS_ACTION": self.action,
            "CALLS_ERRNO": str(self.error),
            "CALLS_SECONDS": str(self.seconds),
        }


@dataclass(frozen=True)
class Call:
    """A call that was counted, as the list has it."""

    number: int  # from 1
    time: float  # seconds since 1970, before the call
    name: str
    path: Path


def watched(run: SearchRun) -> dict[str, str]:
    """The variables that have the calls of a job of `run` counted, and its files kept: what is
    renamed within the run directory gets a second name in kept_files(run)."""
    call_list(run).unlink(missing_ok=True)
    kept_files(run).mkdir(exist_ok=True)
    return {
        "LD_PRELOAD": str(library()),
        "ASAN_OPTIONS": "verify_asan_link_order=0",  # the sanitizer wants to be first
        "CALLS_FOLDER": str(run.history.parent.resolve()),
        "CALLS_LIST": str(call_list(run)),
        "CALLS_KEEP": str(kept_files(run).resolve()),
    }


def call_list(run: SearchRun) -> Path:
    return run.folder / "calls"


def kept_files(run: SearchRun) -> Path:
    return run.folder / "kept"


def calls(run: SearchRun) -> list[Call]:
    """The calls of the last job that was started with an interruption, in order; in a job that was
    killed, one that another thread had just counted may be missing."""
    if not call_list(run).exists():
        return []
    words = [line.split(" ", 3) for line in call_list(run).read_text().splitlines()]
    return [Call(int(number), float(time), name, Path(path)) for number, time, name, path in words]


def call_at(run: SearchRun, number: int) -> Call | None:
    """That call of the last job; None if it made fewer."""
    return next((call for call in calls(run) if call.number == number), None)
