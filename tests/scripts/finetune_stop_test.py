# SPDX-License-Identifier: Apache-2.0
"""Checks what signals and a time limit make of a fine-tuning.

Usage: python tests/run_python_test.py tests/scripts/finetune_stop_test.py
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import finetune_stop  # noqa: E402

# Says when it listens, and on each line that it reads whether it is to stop.
LISTENER = """
import sys
sys.path.insert(0, {scripts!r})
import finetune_stop
finetune_stop.SAME_WORD_SECONDS = {same_word}
stop = finetune_stop.Stop(None)
print("listening", flush=True)
for _ in sys.stdin:
    print(stop.wanted(0), flush=True)
"""


class Signals(unittest.TestCase):
    def listener(self, same_word: float) -> subprocess.Popen[str]:
        scripts = str(Path(finetune_stop.__file__).parent)
        process = subprocess.Popen(
            [sys.executable, "-c", LISTENER.format(scripts=scripts, same_word=same_word)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        self.assertEqual(process.stdout.readline(), "listening\n")
        return process

    def wanted(self, process: subprocess.Popen[str]) -> str:
        process.stdin.write("\n")
        process.stdin.flush()
        return process.stdout.readline().strip()

    def test_the_same_word_from_several_asks_once(self) -> None:
        process = self.listener(600)
        self.assertEqual(self.wanted(process), "False")
        for _ in range(3):  # Slurm, the job's script, torchrun
            os.kill(process.pid, signal.SIGTERM)
            self.assertEqual(self.wanted(process), "True")

    def test_a_second_word_ends_at_once(self) -> None:
        for same_word, number in ((-1, signal.SIGTERM), (600, signal.SIGINT)):
            with self.subTest(number):
                process = self.listener(same_word)
                os.kill(process.pid, number)
                self.assertEqual(self.wanted(process), "True")
                os.kill(process.pid, number)
                self.assertEqual(process.wait(60), -number)

    def test_before_its_time_is_up_it_stops_with_three_steps_to_spare(self) -> None:
        handlers = {number: signal.getsignal(number) for number in finetune_stop.SIGNALS}
        try:
            stop = finetune_stop.Stop(time.monotonic() + 1000)
            self.assertFalse(stop.wanted(300))
            self.assertTrue(stop.wanted(400))
            self.assertFalse(finetune_stop.Stop(None).wanted(1e9))
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def test_the_time_limit_counts_from_the_start_and_the_end_is_a_time_of_day(self) -> None:
        now = time.monotonic()
        self.assertEqual(finetune_stop.deadline(now - 100, 1000, None), now + 900)
        end = time.time() + 500
        self.assertAlmostEqual(finetune_stop.deadline(now - 100, None, end), now + 500, delta=5)
        self.assertAlmostEqual(finetune_stop.deadline(now - 100, 1000, end), now + 500, delta=5)
        self.assertEqual(finetune_stop.deadline(now - 100, 200, end), now + 100)
        self.assertIsNone(finetune_stop.deadline(now, None, None))


if __name__ == "__main__":
    unittest.main()
