# SPDX-License-Identifier: Apache-2.0
"""Starts searches of the built program in folders of their own; watches, kills and compares them.

Usage, in a test:
    run = SearchRun(folder, synthetic_search(duration_ms=5), ranks=2)
    run.start()
    run.wait_for_scores(20)
    run.kill_job()
    run.complete()
    assert_same_search(self, run.content(), other.content())

The program is $PROGRAM, without it build/release/longrope of this repository.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import shutil
import signal
import subprocess
import time
import unittest
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO_MODEL = REPOSITORY / "models" / "demo"
DEMO_DOCUMENTS = REPOSITORY / "documents" / "demo.h5"

EXIT_DONE = 0
EXIT_BAD_FILE = 4
EXIT_NOBODY_LEFT = 5
EXIT_WAITING = 6
EXIT_IN_USE = 7
EXIT_STOPPED_EARLY = 75
EXIT_INTERRUPTED_TWICE = 130

# How long anything may take on a busy machine before the test gives up; nothing is timed by it.
# The presets of the sanitizers, under which everything is slower, give more.
PATIENCE_SECONDS = float(os.environ.get("TEST_PATIENCE_SECONDS", "300"))
POLL_SECONDS = 0.005

# What differs between two runs of one search: who computed, when, in how many attempts and starts.
RUN_ATTRIBUTES = {
    *("content_sha256", "run_uuid", "created", "updated"),
    *("starts", "stored_at_start", "idle_starts"),
}
RUN_COLUMNS = {"worker", "attempts", "started", "finished"}
RUN_TABLES = {"/workers", "failures"}

# The parts of a configuration: tables by name, "stage" being the only stage.
Configuration = dict[str, dict[str, Any]]
# Every value of a history by its place in the file, as type, shape and bytes.
Content = dict[str, tuple[str, tuple[int, ...], bytes]]
# Sums of negative log-likelihoods by (dataset, row, document).
Scores = dict[tuple[str, int, int], float]


def program() -> Path:
    """The program under test."""
    path = Path(os.environ.get("PROGRAM", REPOSITORY / "build" / "release" / "longrope"))
    if not path.is_file():
        raise AssertionError(f"{path} does not exist: build it, or name the program in $PROGRAM")
    return path


def synthetic_search(
    *,
    target_tokens: int = 2048,
    population: int = 16,
    parents: int = 8,
    mutations: int = 8,
    crossovers: int = 8,
    iterations: int = 5,
    documents: int = 2,
    **synthetic: Any,
) -> Configuration:
    """A search on the closed-form landscape, with `synthetic` as keys of [evaluator.synthetic]."""
    return {
        "documents": {"search": documents, "validation": documents, "heldout": documents},
        "evaluator": {"backend": "synthetic"},
        "evaluator.synthetic": synthetic,
        # A snapshot after every result, or as often as the disk allows.
        "run": {"directory": "run", "seed": 7, "snapshot_seconds": 0},
        "stage": {
            "name": "long",
            "target_tokens": target_tokens,
            "population": population,
            "parents": parents,
            "mutations": mutations,
            "crossovers": crossovers,
            "iterations": iterations,
        },
    }


def paper_search(**synthetic: Any) -> Configuration:
    """The sizes of the paper, on the closed-form landscape: 1344 individuals on two documents."""
    return synthetic_search(
        population=64, parents=32, mutations=16, crossovers=16, iterations=40, **synthetic
    )


def demo_search() -> Configuration:
    """A small search on the demo model: 24 individuals on a document of 1024 tokens."""
    configuration = synthetic_search(
        target_tokens=1024,
        population=8,
        parents=4,
        mutations=4,
        crossovers=4,
        iterations=2,
        documents=1,
    )
    configuration["evaluator"] = {"backend": "auto"}
    del configuration["evaluator.synthetic"]
    configuration["model"] = {"path": str(DEMO_MODEL)}
    configuration["documents"]["path"] = str(DEMO_DOCUMENTS)
    return configuration


def changed(configuration: Configuration, **tables: dict[str, Any]) -> Configuration:
    """A copy of `configuration` with some keys of some tables replaced."""
    copied = copy.deepcopy(configuration)
    for table, keys in tables.items():
        copied.setdefault(table, {}).update(keys)
    return copied


def hanging(configuration: Configuration, after: int) -> Configuration:
    """The same search on evaluators that hang after so many tasks each: however long a test takes
    to interrupt it, it does not come to its end before."""
    fault = {"fault": "hang", "fault_every": after + 1}
    return changed(configuration, **{"evaluator.synthetic": fault})


def tolerant(configuration: Configuration) -> Configuration:
    """The same search with no verdict on a task, however often its evaluators are interrupted: for
    faults that a test makes, or a busy machine beside them."""
    return changed(configuration, run={"max_faults": 1000})


def to_toml(configuration: Configuration) -> str:
    """The configuration as the program reads it."""

    def value(of: Any) -> str:
        if isinstance(of, bool):
            return str(of).lower()
        return f'"{of}"' if isinstance(of, str) else str(of)

    lines: list[str] = []
    for table, keys in configuration.items():
        lines.append("[[stage]]" if table == "stage" else f"[{table}]")
        lines.extend(f"{key} = {value(of)}" for key, of in keys.items())
    return "\n".join(lines) + "\n"


def needs_mpirun() -> Callable[[Any], Any]:
    """Skips a test where no job of several ranks can be started."""
    return unittest.skipIf(shutil.which("mpirun") is None, "mpirun is not installed")


def needs_demo_documents() -> Callable[[Any], Any]:
    """Skips a test where the demo's documents have not been prepared."""
    return unittest.skipUnless(
        DEMO_DOCUMENTS.is_file() and DEMO_MODEL.is_dir(),
        f"{DEMO_DOCUMENTS} is missing; scripts/prepare_demo.py makes it",
    )


def launcher(ranks: int) -> list[str]:
    """The words before the program: none for a world of one."""
    if ranks == 1:
        return []
    options = ["--bind-to", "none", "--enable-recovery", "--oversubscribe"]
    return ["mpirun", *options, "-n", str(ranks)]


def job_environment() -> dict[str, str]:
    """Our environment without settings of the program, and with MPI allowed as root."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LONGROPE")}
    if os.geteuid() == 0:
        kept |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return kept


def run_program(
    *words: str,
    folder: Path,
    environment: dict[str, str] | None = None,
    installed: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    """Runs the program, or a copy of it, to its end, without mpirun; `environment` is added to
    ours."""
    return subprocess.run(
        [str(installed or program()), *words],
        cwd=folder,
        env=job_environment() | (environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="backslashreplace",  # what is said of bad text may hold it
        timeout=PATIENCE_SECONDS,
        check=False,
    )


def wait_until(condition: Callable[[], Any], what: str) -> Any:
    """Polls until `condition` holds, and returns its value."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"waited {PATIENCE_SECONDS:.0f} s in vain until {what}")


@dataclass(frozen=True)
class Process:
    """A process of a job, as /proc shows it."""

    pid: int
    words: tuple[str, ...]
    rank: int | None  # of the MPI job; an evaluator has its supervisor's

    @property
    def is_launcher(self) -> bool:
        """Whether it is mpirun or its daemon on another node."""
        return Path(self.words[0]).name in ("mpirun", "orted")

    @property
    def is_evaluator(self) -> bool:
        """Whether it is the program, but with none of its verbs."""
        return not self.is_launcher and self.words[1] not in ("search", "evaluate")

    @property
    def is_rank(self) -> bool:
        return not self.is_launcher and not self.is_evaluator

    def kill(self, number: int = signal.SIGKILL) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def lives(self) -> bool:
        """Whether it runs or stands still; a zombie does neither."""
        try:
            state = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return state not in "ZX"


def session_processes(session: int) -> Iterator[Process]:
    """The living processes of a session; those without words are on their way in or out."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # "pid (name) state parent group session ...", where the name may hold anything.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) != session or fields[0] in "ZX":
                continue
            words = (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
            environment = (folder / "environ").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue  # it ended meanwhile
        named = dict(entry.partition("=")[::2] for entry in environment)
        rank = named.get("OMPI_COMM_WORLD_RANK")
        yield Process(
            int(folder.name), tuple(words) if len(words) > 1 else ("", ""), rank and int(rank)
        )


class SearchRun:
    """One run directory and the processes that work on it, one job after the other."""

    def __init__(self, folder: Path, configuration: Configuration, ranks: int = 1) -> None:
        """`folder` is made; the run directory and the configuration lie in it."""
        self.folder = folder
        self.ranks = ranks
        self.launch_options: list[str] = []  # more words before the program
        self.history = folder / configuration["run"]["directory"] / "search.h5"
        self.job: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self.configure(configuration)

    def configure(self, configuration: Configuration) -> None:
        """Writes the configuration anew, for the jobs to come."""
        (self.folder / "search.toml").write_text(to_toml(configuration))

    def start(
        self, *flags: str, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts the search as a job in a session of its own, which makes its processes known."""
        launch = launcher(self.ranks) + self.launch_options
        words = [*launch, str(program()), "search", "search.toml", *flags]
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self.job = subprocess.Popen(
                words,
                cwd=self.folder,
                env=job_environment() | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        return self.job

    def finish(self) -> int:
        """Waits for the job; returns its exit status."""
        assert self.job is not None
        try:
            return self.job.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            listing = "\n".join(str(process) for process in self.processes())
            raise AssertionError(f"still running:\n{listing}\n{self.said()}") from None

    def run(self, *flags: str, environment: Mapping[str, str] | None = None) -> int:
        """Starts the search and waits for it; returns the exit status."""
        self.start(*flags, environment=environment)
        return self.finish()

    def complete(self, *flags: str, environment: Mapping[str, str] | None = None) -> None:
        """Runs the search to its end. mpirun's exit status says nothing, the history does."""
        status = self.run(*flags, environment=environment)
        if self.ranks == 1 and status != EXIT_DONE:
            raise AssertionError(f"exit status {status}:\n{self.said()}")
        if self.state() != "complete":
            raise AssertionError(f"the history is {self.state()!r}:\n{self.said()}")
        if re.search(r"\bnan\b", self.said()):
            raise AssertionError(f"a figure that is none:\n{self.said()}")

    def said(self) -> str:
        """What the last job wrote on stdout and stderr."""
        return (self.folder / "out").read_text() + (self.folder / "err").read_text()

    # --- processes ---

    def processes(self) -> list[Process]:
        """Everything of the last job that lives, whoever its parent is by now."""
        return [] if self.job is None else list(session_processes(self.job.pid))

    def evaluators(self) -> list[Process]:
        return [process for process in self.processes() if process.is_evaluator]

    def rank(self, number: int) -> Process:
        """The process of a rank of the MPI job."""
        found = [each for each in self.processes() if each.is_rank and each.rank == number]
        if len(found) != 1:
            raise AssertionError(f"rank {number} is not one process: {found}")
        return found[0]

    def kill_job(self) -> None:
        """SIGKILL to launcher and ranks; the evaluators are left to notice it themselves."""
        for process in self.processes():
            if not process.is_evaluator:
                process.kill()
        self.expect_silence()

    def expect_silence(self) -> None:
        """Waits until no process of the job is left, not even an orphan."""
        self.finish()
        wait_until(lambda: not self.processes(), f"nothing of the job is left: {self.processes()}")

    def clean_up(self) -> None:
        """Ends what a failed test left behind."""
        for process in self.processes():
            process.kill()
        if self.job is not None:
            self.job.wait(PATIENCE_SECONDS)

    # --- history ---

    def state(self) -> str:
        """The state the history gives, with spaces."""
        with h5py.File(self.history) as file:
            return file.attrs["state_legend"][file.attrs["state"]].decode().replace("_", " ")

    def attribute(self, name: str) -> Any:
        """An attribute of the history's root; text as str."""
        with h5py.File(self.history) as file:
            value = file.attrs[name]
        return value.decode() if isinstance(value, bytes) else value

    def tasks(self) -> int:
        """The tasks that workers of the last job finished."""
        with h5py.File(self.history) as file:
            return int(file["workers"]["tasks"].sum())

    def scores(self) -> Scores:
        """What the history holds now; nothing if there is none yet."""
        return stored_scores(self.history) if self.history.exists() else {}

    def wait_for_scores(self, count: int) -> Scores:
        """Waits until the history of a running search holds at least `count` scores."""

        def enough() -> Scores | None:
            if self.job is None or self.job.poll() is not None:
                raise AssertionError(f"the search ended before {count} scores:\n{self.said()}")
            stored = self.scores()
            return stored if len(stored) >= count else None

        return wait_until(enough, f"{self.history} holds {count} scores")

    def content(self) -> Content:
        """All values of the history but those of the runs that made it: RUN_ATTRIBUTES,
        RUN_COLUMNS, RUN_TABLES."""
        content: Content = {}

        def add(place: str, value: Any) -> None:
            array = numpy.asarray(value)
            if array.dtype.names:
                for column in set(array.dtype.names) - RUN_COLUMNS:
                    add(f"{place}.{column}", array[column])
                return
            content[place] = (array.dtype.str, array.shape, array.tobytes())

        def collect(name: str, item: h5py.HLObject) -> None:
            if item.name in RUN_TABLES or name.rpartition("/")[2] in RUN_TABLES:
                return
            for key, value in item.attrs.items():
                if value.__class__ is not h5py.Reference and key not in unlike:
                    add(f"{item.name}@{key}", value)
            if isinstance(item, h5py.Dataset):
                add(item.name, item[()])

        # Places in the file, not values; and what the evaluation cost.
        unlike = {"DIMENSION_LIST", "REFERENCE_LIST", "task_seconds"}
        with h5py.File(self.history) as file:
            for key, value in file.attrs.items():
                if key not in RUN_ATTRIBUTES:
                    add(f"/@{key}", value)
            file.visititems(collect)
        return content


def stored_scores(history: Path) -> Scores:
    """The stored sums of negative log-likelihoods by (dataset, row, document)."""
    stored: Scores = {}

    def collect(name: str, item: h5py.HLObject) -> None:
        if not name.endswith("document_nll"):
            return
        status = item.parent["document_status"][:]
        sums = item[:]
        for row, document in zip(*numpy.nonzero((status == 1) | (status == 2)), strict=True):
            stored[name, int(row), int(document)] = float(sums[row, document])

    with h5py.File(history) as file:
        file.visititems(collect)
    return stored


def differences(one: Content, other: Content, besides: set[str] = frozenset()) -> list[str]:
    """The places where two histories differ, `besides` not looked at."""
    places = (one.keys() | other.keys()) - besides
    return sorted(place for place in places if one.get(place) != other.get(place))


def assert_same_search(
    test: unittest.TestCase, one: Content, other: Content, besides: set[str] = frozenset()
) -> None:
    """Both histories hold the same search, byte for byte, and it has an end."""
    for expected in ("factors", "document_nll", "best/factors", "heldout/document_nll"):
        test.assertTrue(any(place.endswith(expected) for place in one), expected)
    test.assertEqual(differences(one, other, besides), [])
