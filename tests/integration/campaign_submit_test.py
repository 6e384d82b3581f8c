# SPDX-License-Identifier: Apache-2.0
"""Checks which jobs campaign.sh submits, on what they wait, and what the fine-tuning job does.

Usage: python tests/run_python_test.py tests/integration/campaign_submit_test.py

sbatch, scontrol, squeue and torchrun are stand-ins that note what they are given.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path
from unittest import mock

from bad_input import EXIT_BAD_FILE, EXIT_CONFIGURATION, EXIT_USAGE
from llama2_search import llama2_search
from search_run import (
    EXIT_DONE,
    EXIT_WAITING,
    REPOSITORY,
    SearchRun,
    job_environment,
    program,
    run_program,
    synthetic_search,
    to_toml,
)

sys.path.insert(0, str(REPOSITORY / "scripts"))
import finetune  # noqa: E402
import training_documents  # noqa: E402

SLURM = REPOSITORY / "scripts" / "slurm"
DEMO = REPOSITORY / "models" / "demo"
FAILURE = 1
# Stages with weights of their own, over a first one without.
STAGES = (
    {"name": "short", "target_tokens": 2048},
    {
        "name": "long",
        "target_tokens": 4096,
        "base": "short",
        "model": "tuned",
        "finetune": "tuning.toml",
    },
    {
        "name": "recovery",
        "target_tokens": 256,
        "base": "short",
        "kind": "recovery",
        "model": "tuned",
        "finetune": "tuning.toml",
    },
    {
        "name": "longer",
        "target_tokens": 8192,
        "base": "long",
        "model": "tuned again",
        "finetune": "tuning.toml",
    },
)


class CampaignTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.bin = self.folder / "bin"
        self.bin.mkdir()
        self.calls = self.folder / "calls"
        # Jobs get the numbers 1, 2, ...
        self.add("sbatch", f'echo "$@" >>{self.calls}; wc -l <{self.calls}')
        self.work = self.folder / "work"

    def add(self, name: str, script: str) -> Path:
        file = self.bin / name
        file.write_text(f"#!/bin/bash\n{script}\n")
        file.chmod(0o755)
        return file

    def campaign(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.run(
            [SLURM / "campaign.sh", *words],
            cwd=self.work,
            env=job_environment()
            | {"PATH": path, "LONGROPE": str(program()), "TRAINING_PYTHON": sys.executable}
            | {"PYTHONPATH": str(self.folder / "packages")}
            | settings,
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )

    def submitted(self) -> list[list[str]]:
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return [shlex.split(line) for line in lines]

    def training(self, *settings: str) -> None:
        """All that a training wants in the folder, but for the model: `settings` are its files."""
        (self.work / "scripts").symlink_to(REPOSITORY / "scripts")
        for package in ("torch", "transformers"):  # nothing is computed
            (self.folder / "packages" / package).mkdir(parents=True)
            (self.folder / "packages" / package / "__init__.py").touch()
        self.documents("train.h5", DEMO / "tokenizer.json")
        for name in settings:
            self.settings(name)

    def documents(self, name: str, tokenizer: Path) -> None:
        text = training_documents.TrainingText("one", "Words of a text. " * 100)
        training_documents.write_training_documents(self.work / name, tokenizer, iter([text]))

    def settings(self, name: str, **changed: object) -> None:
        values = {"documents": "train.h5", "batch": 16, "segment_tokens": 16} | changed
        (self.work / name).write_text(to_toml({"training": values}))

    def weights(self, name: str) -> None:
        """A folder that can be tuned."""
        (self.work / name).mkdir()
        for file in ("config.json", "tokenizer.json"):
            shutil.copy(DEMO / file, self.work / name)
        (self.work / name / "model.safetensors").touch()


class Help(unittest.TestCase):
    def test_it_has_every_setting_of_the_environment(self) -> None:
        settings = re.compile(r"\$\{([A-Z_]+):-")
        for script, jobs in (("submit.sh", ()), ("campaign.sh", ("finetune.sbatch",))):
            said = subprocess.run([SLURM / script, "--help"], text=True, capture_output=True)
            sources = (SLURM / name for name in (script, *jobs))
            names = {name for file in sources for name in settings.findall(file.read_text())}
            names = {name for name in names if not name.startswith(("SLURM_", "TORCH_"))}
            self.assertGreater(len(names), 10)
            for name in names:
                with self.subTest(script=script, name=name):
                    self.assertIn(f" {name}=", said.stdout)


class Chain(CampaignTest):
    def setUp(self) -> None:
        super().setUp()
        self.search = SearchRun(self.work, synthetic_search())
        self.training("a.toml", "b.toml")
        self.weights("base")
        self.tunings = (
            *"--tune long a.toml base tuned".split(),
            *"--tune long b.toml tuned again".split(),
        )

    def test_each_job_waits_for_the_one_before(self) -> None:
        done = self.campaign("search.toml", *self.tunings, ACCOUNT="me", FINETUNE_NODES="2")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        first, tuned, again, last = self.submitted()
        self.assertEqual(first, ["--parsable", "run/search.sbatch"])
        self.assertEqual(last, first)
        script = (self.work / "run" / "search.sbatch").read_text()
        self.assertIn("\n#SBATCH --dependency=afterok:3\n", script)
        for words, job, option in (
            (tuned, 1, "--model base --stage long --output tuned --config a.toml"),
            (again, 2, "--model tuned --stage long --output again --config b.toml"),
        ):
            self.assertIn(f"--dependency=afterok:{job}", words)
            for word in ("--nodes=2", "--gpus-per-node=8", "--ntasks-per-node=1", "--account=me"):
                self.assertIn(word, words)
            at = words.index(str(SLURM / "finetune.sbatch"))
            options = words[at + 1 :]
            self.assertEqual(options[options.index("--history") + 1], "run/search.h5")
            pairs = option.split()
            for name, value in zip(pairs[::2], pairs[1::2], strict=True):
                self.assertEqual(options[options.index(name) + 1], value)
        told = done.stdout.splitlines()
        self.assertEqual(told[0], "job 1: search of search.toml")
        self.assertEqual(told[1], "job 2: fine-tuning of tuned, factors of stage long")
        self.assertEqual(len(told), 4)

    def test_a_folder_is_the_same_with_a_slash_at_its_end(self) -> None:
        tunings = "--tune long a.toml base/ tuned// --tune long b.toml tuned again/"
        done = self.campaign("search.toml", *tunings.split())
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        folders = [
            [job[job.index(name) + 1] for name in ("--model", "--output")]
            for job in self.submitted()[1:3]
        ]
        self.assertEqual(folders, [["base", "tuned"], ["tuned", "again"]])

    def test_a_dry_run_prints_all_of_it_and_submits_nothing(self) -> None:
        done = self.campaign("--dry-run", "search.toml", *self.tunings)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertEqual(self.submitted(), [])
        self.assertFalse((self.work / "run").exists())
        for told in ("--dependency=afterok:JOB1 ", "afterok:JOB2 ", "afterok:JOB3\n"):
            self.assertIn(told, done.stdout)
        self.assertEqual(done.stdout.count("# --- Job "), 4)
        self.assertEqual(done.stdout.count("#SBATCH --requeue"), 2)

    def test_its_searches_are_sized_for_the_gpu_that_is_named(self) -> None:
        llama2_search(self.work, [65536])
        for device, status in (("no-such-gpu", EXIT_USAGE), ("h100-80gb", EXIT_DONE)):
            self.assertEqual(self.submitted(), [])
            settings = {"GPUS_PER_NODE": "8", "GPU_DEVICE": device}
            tunings = [word.replace("long", "65536") for word in self.tunings]
            done = self.campaign("search.toml", *tunings, **settings)
            self.assertEqual(done.returncode, status, done.stderr)
        self.assertEqual(len(self.submitted()), 4)
        script = (self.work / "run" / "search.sbatch").read_text()
        self.assertIn("\n# Estimated for h100-80gb: ", script)
        self.assertIn("\n#SBATCH --gpus-per-node=8\n", script)

    def test_a_model_that_is_there_is_not_tuned_again(self) -> None:
        (self.work / "tuned").mkdir()
        (self.work / "tuned" / "config.json").touch()
        done = self.campaign("search.toml", *self.tunings, FINETUNE_GPUS_PER_NODE="0")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertIn("tuned exists and was not written by this program", done.stderr)
        self.assertIn("tuned is there already and taken as it is", done.stderr)
        _, tuned, _ = self.submitted()
        self.assertIn("--dependency=afterok:1", tuned)
        self.assertFalse([word for word in tuned if "gpu" in word])

    def test_a_model_that_is_of_another_fine_tuning_is_refused(self) -> None:
        words = "finetune.py --model base --output tuned --config a.toml --documents train.h5"
        with contextlib.chdir(self.work), mock.patch.object(sys, "argv", words.split()):
            arguments = finetune.argument_parser().parse_args()
            inputs = finetune.finetune_plan.read_inputs(arguments, arguments.model)
        digest = finetune.state.model_digest(self.work / "base")
        identity = inputs.identity() | {"base_digest": digest, "rescaling": {"of": "a stage"}}
        self.weights("tuned")
        record = self.work / "tuned" / "fine_tuning.json"
        record.write_text(json.dumps({"identity": identity}))
        done = self.campaign("--dry-run", "search.toml", *self.tunings)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertIn("campaign: tuned is there already: not tuned again\n", done.stderr)
        self.assertNotIn("taken as it is", done.stderr)
        for change, told in (
            ({"settings": identity["settings"] | {"seed": 1}}, "settings.seed was 1, is now 42"),
            ({"base_digest": "of another"}, "base_digest was"),
        ):
            record.write_text(json.dumps({"identity": identity | change}))
            done = self.campaign("search.toml", *self.tunings)
            self.assertEqual(done.returncode, EXIT_CONFIGURATION, done.stderr)
            self.assertIn(told, done.stderr)
            self.assertIn("the fine-tuning of tuned on 8 process(es) would be refused", done.stderr)
        self.assertEqual(self.submitted(), [])

    def test_what_a_training_would_refuse_is_refused_before_anything_is_submitted(self) -> None:
        other = self.folder / "tokenizer.json"
        other.write_text((DEMO / "tokenizer.json").read_text() + "\n")
        self.documents("other.h5", other)
        for file, settings, told in (
            ("a.toml", {"step": 3}, "a.toml: training.step is unknown; did you mean steps?"),
            ("b.toml", {"batch": 12}, "training.batch = 12 cannot be shared by 8 processes"),
            ("a.toml", {"documents": "none.h5"}, "cannot read the training documents none.h5"),
            ("b.toml", {"documents": "other.h5"}, "was made with another tokenizer than base"),
            ("b.toml", {"segment_tokens": 9999}, "too few for segments of 9999"),
        ):
            with self.subTest(told):
                self.settings(file, **settings)
                done = self.campaign("search.toml", *self.tunings)
                self.settings(file)
                self.assertEqual(done.returncode, EXIT_CONFIGURATION, done.stderr)
                self.assertIn(told, done.stderr)
        for settings, status, told in (
            ({"TRAINING_PYTHON": "/none"}, FAILURE, "no Python at /none"),
            ({"FINETUNE_NODES": "3"}, EXIT_CONFIGURATION, "cannot be shared by 24 processes"),
            (
                {"FINETUNE_GPUS_PER_NODE": "a100:5"},
                EXIT_CONFIGURATION,
                "FINETUNE_GPUS_PER_NODE=a100:5. With FINETUNE_GPUS_PER_NODE=0 it is one process",
            ),
            (
                {"FINETUNE_NODES": "2", "FINETUNE_GPUS_PER_NODE": "0"},
                EXIT_USAGE,
                "FINETUNE_NODES=2, but FINETUNE_GPUS_PER_NODE=0",
            ),
        ):
            with self.subTest(told):
                done = self.campaign("search.toml", *self.tunings, **settings)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(told, done.stderr)
        done = self.campaign("search.toml", *"--tune none a.toml base tuned".split())
        self.assertIn("search.toml has no stage none; it has long", done.stderr)
        (self.work / "scripts").unlink()
        done = self.campaign("search.toml", *self.tunings)
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("there is no scripts/finetune.py", done.stderr)
        self.assertEqual(self.submitted(), [])

    def test_a_machine_without_pytorch_can_submit(self) -> None:
        hides = (
            "import importlib.util as util\n"
            "found = util.find_spec\n"
            "hidden = ('torch', 'transformers')\n"
            "util.find_spec = lambda name: None if name in hidden else found(name)\n"
        )
        (self.folder / "packages" / "sitecustomize.py").write_text(hides)
        done = self.campaign("search.toml", *self.tunings)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertEqual(len(self.submitted()), 4)
        self.assertEqual(done.stderr.count("has no torch and no transformers"), 1, done.stderr)

    def test_where_a_model_and_documents_are_named_is_said_if_they_are_not_there(self) -> None:
        llama2_search(self.work, [65536])
        for name in ("MODEL", "DOCUMENTS"):
            done = self.campaign("search.toml", **{f"LONGROPE_{name}_PATH": "none"})
            self.assertEqual(done.returncode, EXIT_BAD_FILE, done.stderr)
            self.assertIn("LONGROPE_MODEL_PATH=FOLDER", done.stderr)
            self.assertIn("the search cannot run (above); nothing was submitted", done.stderr)

    def test_a_complete_search_is_no_job(self) -> None:
        self.search.complete()
        done = self.campaign("search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertEqual(self.submitted(), [])
        self.assertIn("nothing to submit", done.stderr)

    def test_what_cannot_be_meant_or_submitted_is_refused(self) -> None:
        for words, settings, status, told in (
            ((), {}, EXIT_USAGE, "no configuration given"),
            (("search.toml", "--tune", "a"), {}, EXIT_USAGE, "--tune takes STAGE SETTINGS"),
            (("search.toml", "b.toml"), {}, EXIT_USAGE, "unknown argument: b.toml"),
            (("none.toml",), {}, EXIT_CONFIGURATION, "cannot read the configuration none.toml"),
            (("a.toml",), {}, EXIT_CONFIGURATION, "the search cannot run (above)"),
            (
                ("search.toml", *"--tune long a.toml none t".split()),
                {},
                EXIT_CONFIGURATION,
                "none has no *.safetensors file to tune",
            ),
            (
                ("search.toml", *"--tune long none.toml b t".split()),
                {},
                EXIT_CONFIGURATION,
                "there is no settings file none.toml",
            ),
            (("search.toml",), {"FINETUNE_NODES": "0"}, EXIT_USAGE, "FINETUNE_NODES=0"),
            (
                ("search.toml",),
                {"FINETUNE_GPUS_PER_NODE": "a100"},
                EXIT_USAGE,
                "FINETUNE_GPUS_PER_NODE=a100",
            ),
        ):
            with self.subTest(told):
                done = self.campaign(*words, **settings)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(told, done.stderr)
                self.assertNotIn("unbound", done.stderr)
        self.assertEqual(self.submitted(), [])

    def test_what_sbatch_says_is_passed_on(self) -> None:
        self.add(
            "sbatch",
            f'echo "$@" >>{self.calls}; [ $# = 2 ] && echo 7 || {{ echo no >&2; exit 1; }}',
        )
        done = self.campaign("search.toml", *self.tunings)
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("sbatch refused the fine-tuning of tuned and said\nno\n", done.stderr)
        self.assertIn("submitted before it: job 7: search of search.toml", done.stderr)


class Asked(CampaignTest):
    """What a configuration asks for itself."""

    def setUp(self) -> None:
        super().setUp()
        self.work.mkdir()
        self.weights("base")
        self.training("tuning.toml")
        self.configure(*STAGES)

    def configure(self, *stages: dict[str, object], duration_ms: int = 0) -> None:
        """On the landscape, which every folder with a config.json is a model of."""
        search = synthetic_search(duration_ms=duration_ms)
        common = search.pop("stage")
        search["model"] = {"path": "base"}
        text = to_toml(search) + "".join(to_toml({"stage": common | stage}) for stage in stages)
        (self.work / "search.toml").write_text(text)

    def test_every_missing_model_is_tuned_once_with_a_search_after_it(self) -> None:
        done = self.campaign("search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        told = [line.partition(": ")[2] for line in done.stdout.splitlines()]
        search = "search of search.toml"
        self.assertEqual(
            told,
            [
                search,
                "fine-tuning of tuned, factors of stage short",
                search,
                "fine-tuning of tuned again, factors of stage long",
                search,
            ],
        )
        tuned, again = self.submitted()[1::2]
        self.assertEqual(tuned[tuned.index("--model") + 1], "base")
        at = again.index("--model")
        self.assertEqual(again[at + 1], "tuned")

    def test_the_environment_names_models_and_run_directory(self) -> None:
        self.weights("elsewhere")
        names = {"LONGROPE_MODEL_PATH": "elsewhere", "LONGROPE_RUN_DIRECTORY": "50%"}
        done = self.campaign("search.toml", **names)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        tuned = self.submitted()[1]
        self.assertEqual(tuned[tuned.index("--model") + 1], "elsewhere")
        self.assertEqual(tuned[tuned.index("--history") + 1], "50%/search.h5")
        self.assertIn("--output=50%%/finetune-%j.log", tuned)

    def test_weights_that_are_missing_are_named_before_anything_is_submitted(self) -> None:
        (self.work / "base" / "model.safetensors").unlink()
        done = self.campaign("search.toml")
        self.assertEqual(done.returncode, EXIT_CONFIGURATION, done.stderr)
        self.assertIn("base has no *.safetensors file to tune", done.stderr)
        self.assertEqual(self.submitted(), [])

    def test_trainings_in_a_row_are_submitted_without_a_search_between(self) -> None:
        for name in ("first.toml", "second.toml"):
            self.settings(name)
        asked = {"model": "far", "finetune": "short=first.toml, long = second.toml"}
        self.configure(*STAGES[:3], STAGES[3] | asked)
        done = self.campaign("search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        first, second = self.submitted()[3:5]
        self.assertEqual(len(self.submitted()), 6)
        values = [
            [job[job.index(f"--{key}") + 1] for key in ("model", "stage", "output", "config")]
            for job in (first, second)
        ]
        self.assertEqual(
            values,
            [
                ["base", "short", "far-short", "first.toml"],
                ["far-short", "long", "far", "second.toml"],
            ],
        )
        self.assertIn("--dependency=afterok:4", second)

    def test_a_search_that_waits_is_no_job_and_the_tuning_begins_at_once(self) -> None:
        waiting = run_program("search", "search.toml", folder=self.work)
        self.assertEqual(waiting.returncode, EXIT_WAITING, waiting.stderr)
        done = self.campaign("search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertIn("waits for the model tuned; nothing was submitted", done.stderr)
        told = [line.partition(": ")[2] for line in done.stdout.splitlines()]
        self.assertEqual(
            told[:2], ["fine-tuning of tuned, factors of stage short", "search of search.toml"]
        )
        self.assertEqual(len(told), 4)
        first = self.submitted()[0]
        self.assertFalse([word for word in first if word.startswith("--dependency")])

    def test_a_search_job_is_sized_for_the_stages_that_it_can_run(self) -> None:
        self.configure(*STAGES, duration_ms=2000)
        done = self.campaign("--dry-run", "search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        first, second, _ = re.findall(r"Estimated for CPUs: (\S+) on", done.stdout)
        self.assertLess(first, second)

    def test_a_campaign_longer_than_the_limit_goes_in_parts(self) -> None:
        self.add("sinfo", "echo 'test*|00:20:00|64000|16'")
        self.configure(*STAGES, duration_ms=2000)
        refused = self.campaign("search.toml", RANKS_PER_NODE="1")
        self.assertEqual(refused.returncode, FAILURE, refused.stderr)
        self.assertIn("in parts", refused.stderr)
        done = self.campaign("search.toml", "--", "--time=00:20:00", RANKS_PER_NODE="1")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        script = (self.work / "run" / "search.sbatch").read_text()
        self.assertIn("\n#SBATCH --time=00:20:00\n", script)
        self.assertIn("\n#SBATCH --dependency=afterok:4\n", script)

    def test_a_model_that_no_stage_leads_to_is_named(self) -> None:
        for stages, told in (
            (({**STAGES[0], "model": "x"}, *STAGES[1:]), "leads to its model x"),
            ((STAGES[0], {**STAGES[1], "finetune": ""}), 'stage long has no finetune = "SETTINGS"'),
        ):
            self.configure(*stages)
            with self.subTest(told):
                done = self.campaign("search.toml")
                self.assertEqual(done.returncode, EXIT_CONFIGURATION, done.stderr)
                self.assertIn(told, done.stderr)
        self.assertEqual(self.submitted(), [])


class FinetuneJob(CampaignTest):
    """finetune.sbatch where there is no Slurm."""

    WAITS = "for i in {1..200}; do sleep 0.1; done"  # a signal is heard in between
    STORES_AFTER_TERM = "trap 'mkdir -p tuned.training/step-000020; exit 75' TERM"

    def setUp(self) -> None:
        super().setUp()
        self.work.mkdir()
        self.add("scontrol", f'echo scontrol "$@" >>{self.calls}; echo first')
        shift = "while [[ $1 == -* ]]; do shift; done"
        self.add("srun", f'echo srun "$@" >>{self.calls}; {shift}; exec "$@"')

    def job(self, python: str, *words: str, **environment: str):
        """Runs the job; `python` is the script that stands in for the interpreter."""
        path = f"{self.bin}:{os.environ['PATH']}"
        stand_in = self.add("python", f'echo python "$@" >>{self.calls}\n{python}')
        plain = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
        end = str(int(time.time()) + 3600)
        return subprocess.run(
            ["bash", SLURM / "finetune.sbatch", *(words or ("--output", "tuned"))],
            cwd=self.work,
            env=plain
            | {"PATH": path, "TRAINING_PYTHON": str(stand_in), "SLURM_JOB_ID": "17"}
            | {"SLURM_JOB_END_TIME": end}
            | environment,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )

    def test_a_complete_model_ends_it(self) -> None:
        done = self.job("mkdir tuned; touch tuned/fine_tuning.json")
        self.assertEqual(done.returncode, 0, done.stderr)
        ((*start, end),) = self.submitted()
        self.assertEqual(start, "python scripts/finetune.py --output tuned --end".split())
        self.assertAlmostEqual(int(end), time.time() + 3420, delta=100)

    def test_a_training_that_is_refused_for_a_complete_model_fails(self) -> None:
        complete = "mkdir -p tuned; touch tuned/fine_tuning.json"
        self.assertEqual(self.job(f"{complete}; exit 1").returncode, 0)  # torchrun's word
        done = self.job("exit 1")
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("not queued again: status 1", done.stderr)
        self.assertEqual(self.job("exit 0").returncode, 0)

    def test_it_queues_itself_again_after_a_new_checkpoint_alone(self) -> None:
        for step, words in (
            ("20", ("--output=tuned",)),
            ("40", ("--output", "tuned/")),
            ("60", ("--output=tuned//",)),
        ):
            done = self.job(f"mkdir -p tuned.training/step-0000{step}; exit 75", *words)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(self.submitted()[-1], ["scontrol", "requeue", "17"])
            self.calls.unlink()
        done = self.job("exit 1")
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("not queued again: status 1, and no checkpoint", done.stderr)
        self.assertEqual(len(self.submitted()), 1)

    def test_it_is_not_queued_again_after_scancel(self) -> None:
        done = self.job(f"{self.STORES_AFTER_TERM}; kill -TERM $PPID; {self.WAITS}")
        self.assertEqual(done.returncode, FAILURE)
        self.assertIn("ended from outside", done.stderr)

    def test_it_is_queued_again_after_usr1(self) -> None:
        done = self.job(f"{self.STORES_AFTER_TERM}; kill -USR1 $PPID; {self.WAITS}")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("queueing job 17 again, after step-000020", done.stderr)
        self.assertEqual(self.submitted()[-1], ["scontrol", "requeue", "17"])

    def test_without_a_checkpoint_it_is_queued_again_only_where_it_has_time(self) -> None:
        for left, status in (("1:02:03", 0), ("4:59", FAILURE), ("", FAILURE)):
            with self.subTest(left):
                self.add("squeue", f"echo {left}")
                done = self.job(f"kill -USR1 $PPID; {self.WAITS}")
                self.assertEqual(done.returncode, status, done.stderr)
                requeued = ["scontrol", "requeue", "17"] in self.submitted()
                self.assertEqual(requeued, status == 0)
                self.calls.unlink()
        self.assertIn("not queued again: its time was over before a checkpoint", done.stderr)

    def test_on_several_nodes_the_step_is_told_and_not_srun(self) -> None:
        several = {"SLURM_GPUS_ON_NODE": "8", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "n[1-2]"}
        training = self.folder / "training"
        self.add("scancel", f'echo scancel "$@" >>{self.calls}; kill -TERM $(cat {training})')
        # As srun does with TERM: what it has started is killed, and stores nothing.
        self.add(
            "srun",
            "while [[ $1 == -* ]]; do shift; done\n"
            '"$@" &\ntrap "kill -KILL $!" TERM\n'
            f"while [ ! -s {training} ]; do sleep 0.1; done\nkill -USR1 $PPID\nwait",
        )
        done = self.job(f"{self.STORES_AFTER_TERM}; echo $$ >{training}; {self.WAITS}", **several)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(["scancel", "--signal=TERM", "17.0"], self.submitted())
        self.assertIn("queueing job 17 again, after step-000020", done.stderr)

    def test_an_end_that_squeue_does_not_tell_at_once_is_asked_for_again(self) -> None:
        complete = "mkdir -p tuned; touch tuned/fine_tuning.json"
        self.add("sleep", "")
        asked = self.folder / "asked"
        self.add("squeue", f'echo >>{asked}; [ "$(wc -l <{asked})" -gt 1 ] && date -d "1 hour"')
        done = self.job(complete, SLURM_JOB_END_TIME="")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.submitted()[-1][-2], "--end")
        shutil.rmtree(self.work / "tuned")
        self.add("squeue", "exit 1")
        done = self.job(complete, SLURM_JOB_END_TIME="")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("the end of the job is not known", done.stderr)
        self.assertNotIn("--end", self.submitted()[-1])

    def test_gpus_and_nodes_get_a_process_each(self) -> None:
        complete = "mkdir -p tuned; touch tuned/fine_tuning.json"
        self.job(complete, SLURM_GPUS_ON_NODE="4")
        (words,) = self.submitted()
        self.assertIn("-m torch.distributed.run --nnodes 1 --nproc-per-node 4", " ".join(words))
        self.calls.unlink()
        several = {"SLURM_GPUS_ON_NODE": "8", "SLURM_NNODES": "2", "SLURM_JOB_NODELIST": "n[1-2]"}
        done = self.job(complete, **several, SLURM_CPUS_PER_TASK="32")
        self.assertEqual(done.returncode, 0, done.stderr)
        hostnames, srun, python = self.submitted()
        self.assertEqual(hostnames, ["scontrol", "show", "hostnames", "n[1-2]"])
        self.assertEqual(srun[:3], ["srun", "--ntasks-per-node=1", "--cpus-per-task=32"])
        self.assertIn("--nnodes 2 --nproc-per-node 8 --rdzv-id 17", " ".join(python))
        self.assertIn("--rdzv-endpoint first:29400 scripts/finetune.py", " ".join(python))

    def test_what_is_missing_is_said(self) -> None:
        for words, environment, status, told in (
            ((), {"SLURM_JOB_ID": ""}, EXIT_USAGE, "submit it with sbatch"),
            (("--model", "m"), {}, EXIT_USAGE, "no --output given"),
            ((), {"SLURM_NNODES": "2"}, EXIT_USAGE, "2 nodes without GPUs"),
            ((), {"SLURM_JOB_END_TIME": "1"}, FAILURE, "ends in less than three minutes"),
            ((), {"TRAINING_PYTHON": "/none/python"}, FAILURE, "no Python at /none/python"),
        ):
            with self.subTest(told):
                done = self.job("exit 0", *words, **environment)
                self.assertEqual(done.returncode, status, done.stderr)
                self.assertIn(told, done.stderr)


if __name__ == "__main__":
    unittest.main()
