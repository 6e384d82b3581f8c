# SPDX-License-Identifier: Apache-2.0
"""Checks what `status` says of searches that begin, run, wait and end.

Usage: python tests/run_python_test.py tests/integration/status_test.py
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from interrupted_run import Interruption, calls, watched
from search_run import (
    EXIT_DONE,
    EXIT_WAITING,
    PATIENCE_SECONDS,
    REPOSITORY,
    Configuration,
    SearchRun,
    changed,
    hanging,
    job_environment,
    program,
    run_program,
    synthetic_search,
    to_toml,
    wait_until,
)

EXIT_SYSTEM_ERROR = 1
EXIT_NOBODY_LEFT = 5
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


class FullDisk(StatusTest):
    def test_a_search_that_could_not_store_its_end_is_told_by_its_log(self) -> None:
        run = self.new_run(synthetic_search(documents=1))
        full = Interruption(20, "fail_on", errno.ENOSPC).environment(run)
        # The log lies on another disk, which is not full.
        run.history.parent.mkdir()
        (self.folder / "log.txt").touch()
        run.history.with_name("log.txt").symlink_to(self.folder / "log.txt")
        self.assertEqual(run.run(environment=full), EXIT_SYSTEM_ERROR, run.said())
        said = run_program("status", "run", folder=run.folder).stdout
        self.assertIn("interrupted: no coordinator is at work", said)
        self.assertRegex(said, r"run/log.txt ends with: \S+  error: .*No space left on device")
        report = json.loads(run_program("status", "run", "--json", folder=run.folder).stdout)
        self.assertIn(report["last_logged"], said)
        self.assertIn("No space left on device", report["last_logged"])


class Progress(StatusTest):
    """How far of what."""

    def test_generations_and_individuals_are_told_with_those_that_there_will_be(self) -> None:
        run = self.new_run(hanging(synthetic_search(documents=1), 40))
        later = {"name": "later", "target_tokens": 4096, "base": "long", "max_evaluations": 100}
        with (run.folder / "search.toml").open("a") as file:
            file.write(to_toml({"stage": later}))
        run.start()
        run.wait_for_scores(10)
        said = run_program("status", "run", folder=run.folder).stdout
        self.assertRegex(said, r"\d of 6 generations, \d+ of 96 individuals finished")
        self.assertIn('"later" (4096 tokens): not begun; 2 generations, 96 individuals\n', said)
        report = json.loads(run_program("status", "run", "--json", folder=run.folder).stdout)
        stage, (to_come,) = report["stages"][0], report["stages_to_come"]
        sizes = ("iterations", "population", "generations_total", "individuals_total")
        self.assertEqual([stage[key] for key in sizes], [5, 16, 6, 96])
        self.assertEqual([to_come[key] for key in sizes], [40, 64, 2, 96])

    def test_a_history_with_settings_of_another_version_is_told_without_them(self) -> None:
        write = os.environ.get("WRITE_SAMPLE_HISTORY")
        if write is None:
            self.skipTest("$WRITE_SAMPLE_HISTORY is not set")
        file = self.folder / "sample.h5"
        subprocess.run([write, str(file)], check=True)
        said = run_program("status", str(file), folder=self.folder)
        self.assertEqual(said.returncode, EXIT_DONE, said.stderr)
        self.assertIn(": 2 generations, ", said.stdout)
        report = run_program("status", "--json", str(file), folder=self.folder).stdout
        self.assertNotIn("generations_total", report)


class EarlierChoice(StatusTest):
    def test_what_was_chosen_is_told_while_the_search_goes_on(self) -> None:
        sweep = {"start_tokens": "sweep"}
        run = self.new_run(changed(synthetic_search(documents=1, iterations=1), stage=sweep))
        self.assertEqual(run.run(), EXIT_DONE, run.said())
        report = json.loads(run_program("status", "run", "--json", folder=run.folder).stdout)
        (stage,) = report["stages"]
        self.assertEqual(stage["earlier_choices"], [])
        settings = run.folder / "search.toml"
        longer = changed(synthetic_search(documents=1, iterations=30), stage=sweep)
        settings.write_text(to_toml(hanging(longer, 20)))
        run.start()
        run.wait_for_scores(stage["document_scores"] + 3)
        assert run.job is not None
        run.job.terminate()
        run.finish()
        said = run_program("status", "run", folder=run.folder).stdout
        individual = stage["best"]["individual"]
        self.assertRegex(
            said,
            rf'stage "long": after 1 iterations individual {individual} was chosen, with '
            rf"perplexity [\d.]+ on the validation documents \(export --individual {individual}\)",
        )
        words = ("export", "run", "--individual", str(individual), "--format", "json")
        made = run_program(*words, "--output", "made.json", folder=run.folder)
        self.assertEqual(made.returncode, EXIT_DONE, made.stderr)
        exported = json.loads((run.folder / "made.json").read_text())
        self.assertEqual(exported["lambda_long"], stage["best"]["factors"])
        self.assertGreater(exported["n_hat"], 0)  # the sweep's, as it was chosen
        self.assertEqual(exported["n_hat"], stage["best"]["start_tokens"])


class Watching(StatusTest):
    def test_status_is_printed_again_until_the_search_ends(self) -> None:
        run = self.new_run(hanging(synthetic_search(documents=1), 20))
        run.start()
        run.wait_for_scores(5)
        printed = self.folder / "printed"
        with printed.open("w") as out:
            watch = subprocess.Popen(
                [str(program()), "status", "run", "--watch"],
                cwd=run.folder,
                env=job_environment(),
                stdout=out,
            )
        self.addCleanup(watch.kill)
        states = re.compile(r"^(running|stopped early): ", re.MULTILINE)
        wait_until(lambda: len(states.findall(printed.read_text())) >= 2, "it is printed twice")
        assert run.job is not None
        run.job.terminate()
        run.finish()
        self.assertEqual(watch.wait(PATIENCE_SECONDS), EXIT_DONE)
        self.assertEqual(set(states.findall(printed.read_text())[:2]), {"running"})
        self.assertEqual(states.findall(printed.read_text())[-1], "stopped early")


class Keys(StatusTest):
    """The pages have every key that --json prints, and no other."""

    def assert_documented(self, page: str, *words: str, folder: Path) -> None:
        with self.subTest(page=page, words=words):
            printed = run_program(*words, "--json", folder=folder)
            self.assertEqual(printed.returncode, EXIT_DONE, printed.stderr)
            self.assertEqual(documented_keys(page), keys_of(json.loads(printed.stdout)))

    def test_the_pages_have_the_keys_that_are_printed(self) -> None:
        run = self.new_run(synthetic_search(documents=1, iterations=1))
        later = {"name": "later", "target_tokens": 4096, "base": "long", "model": "tuned"}
        with (run.folder / "search.toml").open("a") as file:
            file.write(to_toml({"stage": later}))
        self.assertEqual(run.run(), EXIT_WAITING, run.said())
        # Gone on with, it has an earlier choice to tell of.
        settings = run.folder / "search.toml"
        settings.write_text(settings.read_text().replace("iterations = 1", "iterations = 2"))
        self.assertEqual(run.run(), EXIT_WAITING, run.said())
        export = ("export", "run", "--stage", "long", "--drop-start-tokens", "--format", "csv")
        for page, *words in (
            ("status.md", "status", "run"),
            ("search.md", "search", "search.toml", "--check"),
            ("export.md", *export, "--output", "made.csv"),
        ):
            self.assert_documented(page, *words, folder=run.folder)

    def test_so_has_that_of_evaluate_where_cells_fail_and_where_none_does(self) -> None:
        keys: set[str] = set()
        for poison, end in ((0, EXIT_DONE), (2, EXIT_NOBODY_LEFT)):
            poisoned = synthetic_search(fault="error", poison_every=poison)
            (self.folder / "search.toml").write_text(to_toml(poisoned))
            words = ("--methods", "none,ntk,pi", "--tokens", "512,2048", "--json")
            printed = run_program("evaluate", "search.toml", *words, folder=self.folder)
            self.assertEqual(printed.returncode, end, printed.stderr)
            keys |= keys_of(json.loads(printed.stdout))
        self.assertEqual(documented_keys("evaluate.md"), keys)

    def test_so_have_those_of_estimates_for_gpus(self) -> None:
        configuration = "configs/llama2-7b-128k.toml"
        for words in (
            ("estimate", configuration),
            ("search", configuration, "--check", "--device", "h100-80gb"),
        ):
            self.assert_documented("estimate.md", *words, folder=REPOSITORY)


def documented_keys(page: str) -> set[str]:
    """The words between backticks in the first column of the table of keys."""
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    _, _, table = text.partition("\n## Keys of ")[2].partition("| key |")
    rows = re.findall(r"^\| (`.*?) \|", table.partition("\n\n")[0], re.MULTILINE)
    return {key for row in rows for key in re.findall(r"`([^`]+)`", row)}


def keys_of(value: Any, place: str = "") -> set[str]:
    """stages[].name, say, of everything beneath a value."""
    keys: set[str] = set()
    if isinstance(value, dict):
        for key, beneath in value.items():
            inner = f"{place}.{key}".lstrip(".")
            keys |= {inner} | keys_of(beneath, inner)
    elif isinstance(value, list):
        for entry in value:
            keys |= keys_of(entry, f"{place}[]")
    return keys


if __name__ == "__main__":
    unittest.main()
