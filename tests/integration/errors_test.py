# SPDX-License-Identifier: Apache-2.0
"""Checks exit statuses and messages of bad inputs, and that what --json prints is JSON.

Usage: python tests/run_python_test.py tests/integration/errors_test.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import numpy
from bad_input import (
    EXIT_CONFIGURATION,
    EXIT_SYSTEM,
    EXIT_USAGE,
    MODEL,
    SEARCH,
    SYNTHETIC,
    Case,
)
from bad_inputs import (
    CONFIGURATION,
    DOCUMENTS,
    ESTIMATION,
    EVALUATION,
    EXIT_CODES,
    EXPORTS,
    HISTORY,
    IMPORTS,
    INITIAL,
    MODEL_FILES,
    MODEL_HISTORY,
    OUTPUTS,
    RUN_OUTPUTS,
    SECTIONS,
    STATUS,
    USAGE,
    markdown,
)
from search_run import (
    DEMO_DOCUMENTS,
    DEMO_MODEL,
    EXIT_DONE,
    PATIENCE_SECONDS,
    REPOSITORY,
    SearchRun,
    changed,
    demo_search,
    hanging,
    job_environment,
    launcher,
    needs_demo_documents,
    needs_mpirun,
    program,
    run_program,
    stored_scores,
    synthetic_search,
    to_toml,
)
from spoiled_files import write_documents

# What a program says that was not written to be read, or ended by something else than an answer.
SIGNS_OF_A_CRASH = ("terminate called", "Sanitizer", "runtime error:", "HDF5-DIAG", "Assertion")


class Errors(unittest.TestCase):
    """Each case is tried in a fresh folder."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def try_cases(self, cases: list[Case], prepare: Callable[[Path], None]) -> None:
        for number, case in enumerate(cases):
            with self.subTest(case.wrong):
                folder = self.folder / str(number)
                folder.mkdir()
                prepare(folder)
                case.spoil(folder)
                with case.surroundings(folder):
                    self.try_ways(case, folder)

    def try_ways(self, case: Case, folder: Path) -> None:
        history = folder / "run" / "search.h5"
        scores = stored_scores(history) if case.begun and history.exists() else {}
        before = history_bytes(history)
        kept = {name: (folder / name).read_bytes() for name in case.kept}
        for words in ways_of_asking(case):
            self.try_case(case, words, folder)
        if case.begun:
            self.assertLessEqual(scores.items(), stored_scores(history).items(), "scores are lost")
        else:
            self.assertEqual(history_bytes(history), before, "the history was touched")
        for name, content in kept.items():
            self.assertEqual((folder / name).read_bytes(), content, f"{name} was touched")

    def try_case(self, case: Case, words: tuple[str, ...], folder: Path) -> None:
        answer = run_program(*words, folder=folder, environment=case.environment)
        said = f"{' '.join(words)}:\n{answer.stdout}{answer.stderr}"
        self.assertEqual(answer.returncode, case.status, said)
        for sign in SIGNS_OF_A_CRASH:
            self.assertNotIn(sign, said)
        at = 0
        for fragment in case.told:
            self.assertIn(fragment, answer.stderr[at:], said)
            at = answer.stderr.index(fragment, at) + len(fragment)
        self.assertEqual(answer.stdout, "", "an error belongs on stderr")

    def prepare_synthetic(self, folder: Path) -> None:
        (folder / "search.toml").write_text(to_toml(SYNTHETIC))

    def prepare_model(self, folder: Path) -> None:
        (folder / "search.toml").write_text(to_toml(MODEL))
        shutil.copytree(DEMO_MODEL, folder / "model")
        write_documents(folder / "documents.h5")

    def prepared_from(self, done: SearchRun) -> Callable[[Path], None]:
        def prepare(folder: Path) -> None:
            shutil.copytree(done.folder, folder, dirs_exist_ok=True)

        return prepare

    def test_usage(self) -> None:
        self.try_cases(USAGE, self.prepare_synthetic)

    def test_evaluation(self) -> None:
        self.try_cases(EVALUATION, self.prepare_synthetic)

    def test_configuration(self) -> None:
        self.try_cases(CONFIGURATION, self.prepare_synthetic)

    @unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
    def test_model_and_documents(self) -> None:
        self.try_cases(MODEL_FILES + DOCUMENTS + INITIAL, self.prepare_model)

    @unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
    def test_estimates_and_imported_factors(self) -> None:
        self.try_cases(ESTIMATION + IMPORTS, self.prepare_model)

    @unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
    def test_files_to_write(self) -> None:
        self.try_cases(OUTPUTS, self.prepare_model)

    @unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
    def test_the_files_that_the_cases_spoil_are_accepted_as_they_are(self) -> None:
        self.prepare_model(self.folder)
        answer = run_program(*SEARCH, "--check", folder=self.folder)
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)

    def test_history(self) -> None:
        keys = {"dimensions": 16, "documents": 8}
        done = SearchRun(self.folder / "done", changed(SYNTHETIC, **{"evaluator.synthetic": keys}))
        done.complete()
        self.try_cases(HISTORY + STATUS + EXPORTS + RUN_OUTPUTS, self.prepared_from(done))

    @unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
    def test_history_of_a_model(self) -> None:
        few = {"population": 2, "parents": 2, "mutations": 1, "crossovers": 1, "iterations": 0}
        done = SearchRun(self.folder / "done", changed(MODEL, stage=few))
        shutil.copytree(DEMO_MODEL, done.folder / "model")
        write_documents(done.folder / "documents.h5")
        done.complete()
        self.try_cases(MODEL_HISTORY, self.prepared_from(done))

    @needs_mpirun()
    def test_of_several_ranks_one_answers_and_all_end(self) -> None:
        self.prepare_synthetic(self.folder)
        words = [*launcher(2), str(program()), *SEARCH, "--iterations=-1"]
        answer = subprocess.run(
            words,
            cwd=self.folder,
            env=job_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        # Under --enable-recovery mpirun's exit status says nothing; what it prints has the code.
        self.assertEqual(answer.stderr.count("longrope: --iterations: "), 1, answer.stderr)
        self.assertIn(answer.returncode, (EXIT_DONE, EXIT_CONFIGURATION), answer.stderr)


class Page(unittest.TestCase):
    """docs/errors.md is the table that is tested here."""

    def test_the_page_is_made_from_the_table(self) -> None:
        page = (REPOSITORY / "docs" / "errors.md").read_text(encoding="utf-8")
        self.assertEqual(
            page,
            markdown(),
            "docs/errors.md is out of date: its second line says how to make it",
        )

    def test_every_case_is_tried_and_told_apart(self) -> None:
        tried = USAGE + EVALUATION + CONFIGURATION + MODEL_FILES + DOCUMENTS + INITIAL
        tried += ESTIMATION + IMPORTS + EXPORTS + HISTORY + MODEL_HISTORY + STATUS
        tried += OUTPUTS + RUN_OUTPUTS
        listed = [case for cases in SECTIONS.values() for case in cases]
        self.assertCountEqual([case.wrong for case in tried], [case.wrong for case in listed])
        for cases in SECTIONS.values():
            names = [case.wrong for case in cases]
            self.assertEqual(len(names), len(set(names)))
        self.assertLessEqual({case.status for case in listed}, set(EXIT_CODES))


# The program in control groups of 30 MiB and half a core, of whichever version the system has.
LIMITED = """#!/bin/sh
exec unshare -rm sh -ec '
    mount -t tmpfs none /sys/fs/cgroup
    cd /sys/fs/cgroup
    mkdir memory cpu
    echo 31457280 | tee memory.max >memory/memory.limit_in_bytes
    echo 50000 100000 >cpu.max
    echo 50000 >cpu/cpu.cfs_quota_us
    echo 100000 >cpu/cpu.cfs_period_us
    cd "$OLDPWD"
    exec {program} "$@"' limited "$@"
"""


class Json(unittest.TestCase):
    """What --json prints is read by Python's own reader, in full."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.run_directory = SearchRun(Path(folder.name) / "search", SYNTHETIC)
        self.addCleanup(self.run_directory.clean_up)

    def read(self, *words: str) -> dict:
        answer = run_program(*words, folder=self.run_directory.folder)
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)

        def refuse(constant: str) -> None:
            raise AssertionError(f"{constant} is no JSON")

        return json.loads(answer.stdout, parse_constant=refuse)

    def test_check_before_and_after_a_search(self) -> None:
        before = self.read(*SEARCH, "--check", "--json")
        self.assertIs(before["complete"], False)
        self.assertGreater(before["stages"][0]["tasks_left"], 0)
        self.assertFalse(self.run_directory.history.parent.exists(), "--check writes nothing")
        self.run_directory.complete()
        after = self.read(*SEARCH, "--check", "--json")
        self.assertIs(after["complete"], True)
        self.assertEqual([stage["tasks_left"] for stage in after["stages"]], [0])
        self.assertEqual(after["restored"], len(self.run_directory.scores()))

    def test_check_estimates_a_job_elsewhere(self) -> None:
        self.run_directory.configure(synthetic_search(duration_ms=1000, documents=3))
        here = self.read(*SEARCH, "--check", "--json")
        there = self.read(*SEARCH, "--check", "--json", "--ranks", "64")
        self.assertEqual((here["ranks"], there["ranks"]), (1, 64))
        self.assertEqual(there["directory"], "run")
        one, many = here["stages"][0], there["stages"][0]
        self.assertEqual(one["tasks_left"], many["tasks_left"])
        self.assertAlmostEqual(one["seconds"], one["tasks_left"])
        self.assertEqual(many["tasks_at_once"], (8 + 8) * 3)
        # Batches wait for each other: 69 tasks at first (a baseline has a twin), five generations
        # and the validation with 48 each, 15 held out.
        self.assertEqual(one["tasks_left"], 69 + 6 * 48 + 15)
        for ranks, rounds in ((32, 3 + 6 * 2 + 1), (47, 2 + 6 * 2 + 1), (64, 9), (10_000, 8)):
            with self.subTest(ranks):
                words = (*SEARCH, "--check", "--json", "--ranks", str(ranks))
                self.assertAlmostEqual(self.read(*words)["stages"][0]["seconds"], rounds)

    @needs_demo_documents()
    def test_check_elsewhere_is_not_bound_by_the_cores_of_this_machine(self) -> None:
        self.run_directory.configure(demo_search())
        check = (*SEARCH, "--check", "--json", "--threads", "4")
        one = self.read(*check, "--ranks", "1")["stages"][0]
        many = self.read(*check, "--ranks", "8")["stages"][0]
        # The generations have 8 tasks; the other batches may have a round of fewer than 8.
        self.assertGreater(many["seconds"] * 8, one["seconds"] * 0.999)
        self.assertLess(many["seconds"] * 8, one["seconds"] * 1.5)
        self.assertEqual(many["bytes_per_evaluator"], one["bytes_per_evaluator"])

    @needs_demo_documents()
    def test_check_says_where_its_figures_are_not_those_of_the_evaluators(self) -> None:
        self.run_directory.configure(demo_search())
        folder, check = self.run_directory.folder, (*SEARCH, "--check", "--threads", "1")
        gpus = "but these evaluators compute on GPUs: --device NAME plans for them"
        for flags, note in (
            (("--backend", "cpu"), ""),
            (("--backend", "cuda", "--precision", "bf16"), gpus),
            (("--backend", "reference"), "the reference takes far longer"),
        ):
            with self.subTest(flags):
                told = run_program(*check, *flags, folder=folder)
                self.assertEqual(told.returncode, EXIT_DONE, told.stderr)
                self.assertEqual("GFLOP; on CPUs: " in told.stdout, bool(note), told.stdout)
                self.assertEqual("Memory and time are those of " in told.stdout, bool(note))
                self.assertIn(note, told.stdout)
                said = self.read(*check, *flags, "--json")
                self.assertIs(said["computes_as_estimated"], not note)

    @needs_demo_documents()
    def test_the_limits_of_a_job_are_told_and_checked_against(self) -> None:
        limited = self.run_directory.folder / "limited"
        limited.write_text(LIMITED.format(program=program()))
        limited.chmod(0o755)
        folder = self.run_directory.folder
        told = run_program("devices", folder=folder, installed=limited)
        if "unshare:" in told.stderr or "mount:" in told.stderr:
            self.skipTest(f"there is no mount namespace to try it in: {told.stderr}")
        self.assertIn(
            "\n           of which this job may have the time of 0.5 cores and 30.0 MiB of memory "
            "(limits of its control group)\n",
            told.stdout,
        )
        devices = run_program("devices", "--json", folder=folder, installed=limited)
        said = json.loads(devices.stdout)
        self.assertEqual((said["memory_limit_bytes"], said["core_limit"]), (30 << 20, 0.5))
        self.run_directory.configure(demo_search())
        check = (*SEARCH, "--check", "--threads", "1")
        plain, within = (
            run_program(*check, folder=folder, installed=which) for which in (None, limited)
        )
        self.assertNotIn("limit", plain.stdout)
        self.assertRegex(
            within.stdout,
            r"\n  1 evaluator of [\d.]+ MiB, but this job's memory limit \(of its control group\) "
            r"is 30\.0 MiB: .*\.\n",
        )
        seconds = self.read(*check, "--json")["stages"][0]["seconds"]
        halved = run_program(*check, "--json", folder=folder, installed=limited)
        self.assertAlmostEqual(json.loads(halved.stdout)["stages"][0]["seconds"], 2 * seconds)

    @needs_demo_documents()
    def test_check_counts_the_tokens_that_every_evaluator_reads(self) -> None:
        more = 1_000_000  # tokens
        folder = self.run_directory.folder
        with h5py.File(DEMO_DOCUMENTS) as demo, h5py.File(folder / "long.h5", "w") as longer:
            longer.attrs.update(demo.attrs)
            del longer.attrs["tokens_sha256"]
            for name in ("titles", "split"):
                longer[name] = demo[name][()]
            tokens, offsets = demo["tokens"][()], demo["offsets"][()]
            longer["tokens"] = numpy.append(tokens, numpy.ones(more, dtype=tokens.dtype))
            offsets[-1] += more
            longer["offsets"] = offsets
        self.run_directory.configure(demo_search())
        check = (*SEARCH, "--check", "--json")
        short = self.read(*check)["stages"][0]
        self.run_directory.configure(changed(demo_search(), documents={"path": "long.h5"}))
        long = self.read(*check)["stages"][0]
        grown = long["bytes_per_evaluator"] - short["bytes_per_evaluator"]
        self.assertEqual(grown, 4 * more)

    def test_status_of_a_running_and_of_a_complete_search(self) -> None:
        search = synthetic_search(iterations=1)
        self.run_directory.configure(hanging(search, 10))
        self.run_directory.start()
        stored = self.run_directory.wait_for_scores(3)
        running = self.read("status", "run", "--json")
        self.assertEqual(running["state"], "running")
        self.assertGreaterEqual(running["stages"][0]["document_scores"], len(stored))
        self.run_directory.kill_job()
        self.run_directory.configure(search)
        self.run_directory.complete()
        complete = self.read("status", "run", "--json")
        self.assertEqual(complete["state"], "complete")
        self.assertEqual(len(complete["stages"][0]["best"]["factors"]), 16)

    def test_paths_that_are_no_utf_8(self) -> None:
        self.run_directory.complete()
        name, printed = os.fsdecode(b"r\xff"), "r\N{REPLACEMENT CHARACTER}"
        (self.run_directory.folder / "run").rename(self.run_directory.folder / name)
        verified = self.read("verify", name, "--json")
        self.assertEqual(verified["file"], f"{printed}/search.h5")
        words = ("--format", "csv", "--drop-start-tokens", "--json", "--output", f"{name}.csv")
        exported = self.read("export", name, *words)
        self.assertEqual(exported["output"], f"{printed}.csv")

    def test_evaluate(self) -> None:
        self.run_directory.complete()
        report = self.read("evaluate", "search.toml", "--tokens", "256,2048", "--json")
        cells = {(row["method"], row["tokens"]) for row in report["results"]}
        self.assertIn(("searched", 2048), cells)
        self.assertIn(("none", 256), cells)

    def test_evaluate_of_the_first_documents(self) -> None:
        words = ("evaluate", "search.toml", "--tokens", "2048", "--methods", "pi", "--json")
        for flags, count in (((), 8), (("--limit", "2"), 2), (("--limit", "9"), 8)):
            with self.subTest(flags):
                documents = self.read(*words, *flags)["results"][0]["documents"]
                titles = [document["title"] for document in documents]
                self.assertEqual(titles, [f"synthetic heldout {i + 1}/8" for i in range(count)])

    @unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
    def test_init_writes_the_window_that_is_given(self) -> None:
        folder = self.run_directory.folder
        write_documents(folder / "documents.h5")
        words = ("init", "--model", str(DEMO_MODEL), "--documents", "documents.h5")
        words = (*words, "--target", "200", "--force", "--output")
        answer = run_program(*words, "made.toml", "--original-window", "64", folder=folder)
        self.assertEqual(answer.returncode, EXIT_DONE, answer.stderr)
        text = (folder / "made.toml").read_text()
        self.assertTrue(text.startswith("# LongRoPE search, 64 to 200 tokens."), text[:60])
        planned = self.read("search", "made.toml", "--check", "--json")
        self.assertEqual(planned["original_window"], 64)
        answer = run_program(*words, "made.toml", "--original-window", "0", folder=folder)
        self.assertEqual(answer.returncode, EXIT_USAGE, answer.stderr)
        self.assertIn("the model's original window has 256 tokens already", answer.stderr)

    def test_estimate_is_what_check_says_of_a_device(self) -> None:
        configuration = str(REPOSITORY / "configs" / "llama2-7b-128k.toml")
        environment = {"LONGROPE_MODEL_PATH": str(REPOSITORY / "configs/models/llama2-7b")}
        words = (configuration, "--device", "h100-80gb", "--gpus", "8,16,64", "--json")
        answers = [
            run_program(*verb, *words, folder=self.run_directory.folder, environment=environment)
            for verb in (("estimate",), ("search", "--check"))
        ]
        self.assertEqual(answers[0].stdout, answers[1].stdout, answers[1].stderr)
        report = json.loads(answers[0].stdout)
        self.assertEqual(report["parameters"], 6_738_415_616)
        stage = report["stages"][0]
        self.assertEqual(stage["individuals"], 1344)
        self.assertEqual([row["gpus"] for row in stage["occupancy"]], [8, 16, 64])
        self.assertIs(stage["memory"]["fits"], True)

    def test_the_page_of_estimate_shows_what_it_prints(self) -> None:
        words = ("configs/llama2-7b-256k.toml", "--device", "a100-80gb", "--gpus", "8,16,64")
        answer = run_program("estimate", *words, folder=REPOSITORY)
        page = (REPOSITORY / "docs" / "estimate.md").read_text(encoding="utf-8")
        self.assertIn(f"longrope estimate {' '.join(words)}\n", page)
        self.assertIn(f"```text\n{answer.stdout}```\n", page)

    @unittest.skipUnless(DEMO_MODEL.is_dir(), f"{DEMO_MODEL} is missing")
    def test_an_estimate_is_of_the_stage_that_is_named(self) -> None:
        configuration = str(REPOSITORY / "configs" / "demo-campaign.toml")
        environment = {
            "LONGROPE_MODEL_PATH": str(DEMO_MODEL),
            "LONGROPE_DOCUMENTS_SEARCH": "50",
            "LONGROPE_DOCUMENTS_VALIDATION": "50",
            "LONGROPE_DOCUMENTS_HELDOUT": "50",
        }
        words = ("estimate", configuration, "--json", "--precision", "bf16")
        folder = self.run_directory.folder
        every, one = (
            run_program(*words, *flags, folder=folder, environment=environment)
            for flags in ((), ("--stage", "16384"))
        )
        self.assertEqual(one.returncode, EXIT_DONE, one.stderr)
        stages = json.loads(every.stdout)["stages"]
        self.assertGreater(len(stages), 1)
        named = [stage for stage in stages if stage["name"] == "16384"]
        self.assertEqual(json.loads(one.stdout)["stages"], named)

    def test_of_a_plan_that_does_not_fit_there_are_no_times(self) -> None:
        configuration = str(REPOSITORY / "configs" / "llama2-7b-256k.toml")
        environment = {
            "LONGROPE_MODEL_PATH": str(REPOSITORY / "configs/models/llama2-7b"),
            "LONGROPE_STAGE_TARGET_TOKENS": "2048000",
        }
        words = (configuration, "--device", "a100-40gb")
        for verb in (("estimate",), ("search", "--check")):
            with self.subTest(verb):
                folder = self.run_directory.folder
                text = run_program(*verb, *words, folder=folder, environment=environment)
                self.assertEqual(text.returncode, EXIT_CONFIGURATION, text.stderr)
                self.assertIn('longrope: stage "256k" needs ', text.stderr)
                self.assertIn("and a100-40gb has 39.0 GiB: it does not fit", text.stderr)
                self.assertIn("in all: DOES NOT FIT", text.stdout)
                self.assertNotIn("GPU-hours", text.stdout)
                said = run_program(*verb, *words, "--json", folder=folder, environment=environment)
                self.assertEqual(said.returncode, EXIT_CONFIGURATION, said.stderr)
                stage = json.loads(said.stdout)["stages"][0]
                self.assertIs(stage["memory"]["fits"], False)
                self.assertEqual((stage["gpu_seconds"], stage["occupancy"]), (None, []))

    def test_devices(self) -> None:
        cores = self.read("devices", "--json")["cores"]
        self.assertEqual(cores, len(os.sched_getaffinity(0)))
        # Where OpenMP's run time would bind the program to one core before it begins.
        for settings in (
            {"OMP_PROC_BIND": "true"},
            {"OMP_PLACES": "cores", "OMP_PROC_BIND": "spread"},
        ):
            with mock.patch.dict(os.environ, settings):
                self.assertEqual(self.read("devices", "--json")["cores"], cores, settings)


class Output(unittest.TestCase):
    """What cannot be printed was not done."""

    @unittest.skipUnless(Path("/dev/full").exists(), "there is no /dev/full")
    def test_a_full_disk_under_stdout_is_an_error(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = SearchRun(Path(folder) / "search", SYNTHETIC)
            run.complete()
            llama = str(REPOSITORY / "configs" / "llama2-7b-128k.toml")
            llama_model = str(REPOSITORY / "configs" / "models" / "llama2-7b")
            for words in (
                ("--version",),
                ("--help",),
                ("status", "--help"),
                ("devices",),
                ("devices", "--json"),
                ("status", "run"),
                ("status", "run", "--json"),
                ("verify", "run"),
                ("verify", "run", "--json"),
                ("estimate", llama),
                SEARCH,  # is complete, and prints what it found
                (*SEARCH, "--check"),
                ("evaluate", "search.toml", "--tokens", "256"),
                ("export", "run", "--format", "json", "--output", "made"),
                ("init", "--help"),
            ):
                with self.subTest(" ".join(words)), Path("/dev/full").open("w") as full:
                    ended = subprocess.run(
                        [str(program()), *words],
                        cwd=run.folder,
                        env={**job_environment(), "LONGROPE_MODEL_PATH": llama_model},
                        stdin=subprocess.DEVNULL,
                        stdout=full,
                        stderr=subprocess.PIPE,
                        text=True,
                        timeout=PATIENCE_SECONDS,
                        check=False,
                    )
                    self.assertEqual(ended.returncode, EXIT_SYSTEM, ended.stderr)
                    self.assertIn("longrope: cannot write standard output: ", ended.stderr)

    def ended(self, run: SearchRun, *words: str, stderr: Any) -> int:
        """Exit status of the program, whose words go where they are lost."""
        return subprocess.run(
            [str(program()), *words],
            cwd=run.folder,
            env=job_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            timeout=PATIENCE_SECONDS,
            check=False,
        ).returncode

    @unittest.skipUnless(Path("/dev/full").exists(), "there is no /dev/full")
    def test_a_full_disk_under_stderr_costs_words_alone(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = SearchRun(Path(folder) / "search", SYNTHETIC)
            with Path("/dev/full").open("w") as full:
                self.assertEqual(self.ended(run, *SEARCH, stderr=full), EXIT_DONE)
                missing = self.ended(run, "search", "none.toml", stderr=full)
            self.assertEqual(missing, EXIT_CONFIGURATION)
            self.assertEqual(run.state(), "complete")
            self.assertIn("the search is complete", (run.folder / "run" / "log.txt").read_text())

    def test_closed_standard_streams_are_no_file_or_socket_of_the_search(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = SearchRun(Path(folder) / "search", SYNTHETIC)
            shell = 'exec "$0" "$@" <&- >&- 2>&-'
            words = ["sh", "-c", shell, str(program()), *SEARCH]
            ended = subprocess.run(
                words, cwd=run.folder, env=job_environment(), timeout=PATIENCE_SECONDS, check=False
            )
            self.assertEqual(ended.returncode, EXIT_SYSTEM)  # its result was asked for, and lost
            self.assertEqual(run.state(), "complete")
            lines = (run.folder / "run" / "log.txt").read_text().splitlines()
            self.assertEqual([line for line in lines if "attempt" in line], [])
            self.assertEqual(sum("the search is complete" in line for line in lines), 1)
            self.assertNotIn("Held-out", "\n".join(lines))

    def test_a_reader_that_goes_away_ends_no_search(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            run = SearchRun(Path(folder) / "search", SYNTHETIC)
            reader, writer = os.pipe()
            os.close(reader)
            self.addCleanup(os.close, writer)
            self.assertEqual(self.ended(run, *SEARCH, stderr=writer), EXIT_DONE)
            self.assertEqual(run.state(), "complete")


def ways_of_asking(case: Case) -> list[tuple[str, ...]]:
    """A search that is refused for its inputs is refused by --check too, in the same words."""
    searches = bool(case.words) and case.words[0] == "search"
    checked = case.checked and case.status != EXIT_USAGE and searches
    return [case.words, (*case.words, "--check")] if checked else [case.words]


def history_bytes(history: Path) -> bytes | None:
    return history.read_bytes() if history.is_file() else None


if __name__ == "__main__":
    unittest.main()
