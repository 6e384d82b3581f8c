# SPDX-License-Identifier: Apache-2.0
"""When a fine-tuning stops early, to be continued.

Usage: not a program; scripts/finetune.py reads it.
"""

from __future__ import annotations

import signal
import time

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
SAME_WORD_SECONDS = 15


def deadline(begun: float, time_limit: float | None, end: float | None) -> float | None:
    """The earlier of the two, on the clock of time.monotonic().

    @param begun       on that clock, when the program was started: `time_limit` counts from there
    @param time_limit  seconds
    @param end         seconds since 1970
    """
    limits = [] if time_limit is None else [begun + time_limit]
    if end is not None:
        limits.append(time.monotonic() + end - time.time())
    return min(limits, default=None)


class Stop:
    """Whether the run is to end at the next step: after a signal, or before its time is up.

    At the end of a job a process hears of it from Slurm, the job's script and torchrun alike: what
    comes within SAME_WORD_SECONDS is one word. Another after that, and a second Ctrl-C in any case,
    end the process at once.
    """

    def __init__(self, deadline: float | None) -> None:
        """@param deadline  on the clock of time.monotonic(); None: none"""
        self._asked: float | None = None
        self._deadline = deadline
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, _) -> None:
        now = time.monotonic()
        if self._asked is None:
            self._asked = now
        elif now - self._asked > SAME_WORD_SECONDS or number == signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

    def wanted(self, step_seconds: float) -> bool:
        """@param step_seconds  what the next step, or storing a checkpoint, may take"""
        late = self._deadline is not None and time.monotonic() + 3 * step_seconds > self._deadline
        return self._asked is not None or late
