# SPDX-License-Identifier: Apache-2.0
"""A record, kept outside the run directory, of every result that a search has announced as stored.

A search announces twice what it has stored: by the history itself, which readers find replaced,
and by "stored N document scores" in log.txt once the replacement is durable. Every version of the
history gets a second name (interrupted_calls.c) in the moment it replaces the one before, and what
the versions hold is the record: result by result, not as counts. Scores are never taken back, so a
number of stored scores names one set of them, and each announcement of the log has its version.

Usage:
    record = StoredRecord(run)
    run.start(environment=watched(run))
    ...                      # until the job has ended, however it ended
    record.check()           # raises Lost if anything that was announced is not there
"""

from __future__ import annotations

import re

from interrupted_run import kept_files
from search_run import Scores, SearchRun, stored_scores

ANNOUNCEMENT = re.compile(r"stored (\d+) document scores")


class Lost(AssertionError):
    """A result that was announced as stored is missing, or has another value."""


class StoredRecord:
    """What one run directory has announced, over all its jobs."""

    def __init__(self, run: SearchRun) -> None:
        self.run = run
        self.results: Scores = {}  # announced so far
        self.announcements = 0  # lines of the log
        self.versions = 0  # of the history
        self._counts = {0}  # scores of the versions
        self._log_read = 0  # bytes

    def check(self) -> None:
        """Holds the versions of the last job, in the order of time, against all that was announced
        before; the last is the history that lies there now."""
        for file in sorted(kept_files(self.run).iterdir()):
            if file.name.endswith(self.run.history.name):
                self._expect(stored_scores(file), file.name)
                self.versions += 1
            file.unlink()
        now = self.run.scores()
        self._expect(now, str(self.run.history))
        for count in self._announced():
            self.announcements += 1
            if count not in self._counts or count > len(now):
                raise Lost(
                    f"{count} scores were announced as stored: there are {len(now)}, and the "
                    f"histories had {sorted(self._counts)}"
                )

    def _expect(self, scores: Scores, where: str) -> None:
        lost = {place: value for place, value in self.results.items() if scores.get(place) != value}
        if lost:
            found = {place: scores.get(place) for place in lost}
            raise Lost(f"{where}: {len(lost)} stored results are lost: {lost}, found {found}")
        self.results |= scores
        self._counts.add(len(scores))

    def _announced(self) -> list[int]:
        """The counts of the log's new lines; a killed search may leave half a line."""
        log = self.run.history.with_name("log.txt")
        if not log.exists():
            return []
        new = log.read_bytes()[self._log_read :]
        self._log_read += len(new)
        return [int(count) for count in ANNOUNCEMENT.findall(new.decode(errors="replace"))]
