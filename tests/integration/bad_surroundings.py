# SPDX-License-Identifier: Apache-2.0
"""Surroundings in which a search cannot go on: each holds them up as long as its block lasts.

Usage, in a test:
    with read_only_run_directory(folder):
        answer = run_program("search", "search.toml", folder=folder)

Where neither root's means nor a user's are to be had, unittest.SkipTest tells the reason.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import unittest
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from search_run import job_environment, program, session_processes, wait_until

FREE_BYTES = 16 * 1024  # for the lock and the log, but not for a history


def as_root(*words: str | Path) -> None:
    """Runs a command that needs root, without which the test is skipped."""
    if os.geteuid() != 0:
        raise unittest.SkipTest(f"not root: cannot {words[0]}")
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if done.returncode != 0:
        raise unittest.SkipTest(f"root, but cannot {words[0]} here: {done.stderr.strip()}")


@contextlib.contextmanager
def ordinary(_: Path) -> Iterator[None]:
    yield


@contextlib.contextmanager
def cpu_without_avx512(_: Path) -> Iterator[None]:
    if " avx512f " in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        raise unittest.SkipTest("this CPU has AVX-512, and no instruction set is beyond it")
    yield


@contextlib.contextmanager
def cpu_without_bf16(_: Path) -> Iterator[None]:
    if " avx512_bf16 " in Path("/proc/cpuinfo").read_text(encoding="utf-8"):
        raise unittest.SkipTest("this CPU has AVX512_BF16")
    yield


@contextlib.contextmanager
def read_only_run_directory(folder: Path) -> Iterator[None]:
    """Permission bits for an ordinary user; root, whom they do not stop, gets a read-only mount."""
    run = folder / "run"
    if os.geteuid() != 0:
        run.chmod(0o555)
        try:
            yield
        finally:
            run.chmod(0o755)
        return
    as_root("mount", "--bind", run, run)
    try:
        as_root("mount", "-o", "remount,ro,bind", run)
        yield
    finally:
        subprocess.run(["umount", run], check=True)


@contextlib.contextmanager
def full_file_system(folder: Path) -> Iterator[None]:
    """A small file system for the run directory, filled up; mounting it takes root."""
    run, kept = folder / "run", folder / "kept"
    run.rename(kept)
    run.mkdir()
    as_root("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", run)
    try:
        shutil.copytree(kept, run, dirs_exist_ok=True)
        status = os.statvfs(run)
        free = status.f_bavail * status.f_frsize
        (run / "filler").write_bytes(bytes(free - FREE_BYTES))
        yield
    finally:
        subprocess.run(["umount", run], check=True)


@contextlib.contextmanager
def file_size_limit(most_bytes: int) -> Iterator[None]:
    """ulimit -f: no file may grow beyond so much."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def no_file_longer_than_a_log(_: Path) -> AbstractContextManager[None]:
    return file_size_limit(FREE_BYTES)


def no_byte_of_a_file(_: Path) -> AbstractContextManager[None]:
    return file_size_limit(0)


@contextlib.contextmanager
def another_coordinator(folder: Path) -> Iterator[None]:
    """A search that goes on in the run directory, stopped so that it does not end meanwhile."""
    environment = {**job_environment(), "LONGROPE_EVALUATOR_SYNTHETIC_DURATION_MS": "50"}
    other = subprocess.Popen(
        [str(program()), "search", "search.toml", "--iterations", "100"],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        lock = folder / "run" / "lock"
        wait_until(lambda: lock.exists() and lock.read_text().endswith("\n"), f"{lock} is there")
        os.kill(other.pid, signal.SIGSTOP)
        yield
    finally:
        for process in session_processes(other.pid):
            process.kill()
        other.wait()
