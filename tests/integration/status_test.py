# SPDX-License-Identifier: Apache-2.0
"""Checks what `status` says of searches that begin, run, wait and end.

Usage: python tests/run_python_test.py tests/integration/status_test.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from interrupted_run import Interruption, calls, watched
from search_run import (
    EXIT_DONE,
    PATIENCE_SECONDS,
    Configuration,
    SearchRun,
    job_environment,
    program,
    run_program,
    synthetic_search,
)

NO = 1  # of `status --should-requeue`


class StatusTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def new_run(self, configuration: Configuration) -> SearchRun:
        run = SearchRun(self.folder / "search", configuration)
        self.addCleanup(run.clean_up)
        return run


class Moment(StatusTest):
    """History and lock are two files, which are not read at one moment."""

    def test_a_search_that_ends_between_the_two_looks_is_not_interrupted(self) -> None:
        for flag, said, answer in (
            ("--json", '{"state":"complete"', EXIT_DONE),
            ("--should-requeue", "", NO),
        ):
            with self.subTest(flag):
                self.look_while_it_ends(flag, said, answer)

    def look_while_it_ends(self, flag: str, said: str, answer: int) -> None:
        run = SearchRun(self.folder / flag, synthetic_search(duration_ms=5))
        self.addCleanup(run.clean_up)
        job = run.start()
        run.wait_for_scores(1)
        job.send_signal(signal.SIGSTOP)
        reads = {"CALLS_READS": "1"}
        run_program("status", "run", folder=run.folder, environment=watched(run) | reads)
        of_the_lock = [call.number for call in calls(run) if call.path.name == "lock"]
        stop = Interruption(of_the_lock[0], "stop").environment(run)
        status = subprocess.Popen(
            [str(program()), "status", "run", flag],
            cwd=run.folder,
            env=job_environment() | stop | reads,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(status.kill)
        os.waitpid(status.pid, os.WUNTRACED)  # until it has stopped
        job.send_signal(signal.SIGCONT)
        self.assertEqual(run.finish(), EXIT_DONE, run.said())
        status.send_signal(signal.SIGCONT)
        printed, _ = status.communicate(timeout=PATIENCE_SECONDS)
        self.assertIn(said, printed)
        self.assertEqual(status.returncode, answer)


if __name__ == "__main__":
    unittest.main()
