# SPDX-License-Identifier: Apache-2.0
"""Checks what submit.sh asks for, and what it refuses, with a Slurm that is not there.

Usage: python tests/run_python_test.py tests/integration/submit_test.py

sbatch and sinfo are stand-ins that note what they are given; slurm_test.py uses the real ones.
"""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from bad_input import EXIT_CONFIGURATION, EXIT_USAGE
from llama2_search import PARAMETERS, llama2_search
from search_run import (
    EXIT_BAD_FILE,
    EXIT_DONE,
    PATIENCE_SECONDS,
    REPOSITORY,
    Configuration,
    SearchRun,
    changed,
    demo_search,
    job_environment,
    needs_demo_documents,
    program,
    run_program,
    synthetic_search,
)

SCRIPTS = REPOSITORY / "scripts" / "slurm"
FAILURE = 1
# name|time limit|memory in MB|cores, as `sinfo -o '%P|%l|%m|%c'` prints it: a row per kind of node.
PARTITIONS = """\
short*|1:00:00|64000+|32
short*|1:00:00|32000|16
long|4-00:00:00|64000|32
huge|1:00:00|100000000|32
unmanaged|infinite|1|32
"""
NO_LIMITS = ("--partition=one,another",)  # of several, none is looked up


class Cluster:
    """A folder with a configuration, and a PATH with stand-ins for Slurm's commands."""

    def __init__(self, folder: Path, configuration: Configuration) -> None:
        self.run = SearchRun(folder / "work", configuration)
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.submitted = folder / "submitted"
        self.add("sinfo", f"cat <<'END'\n{PARTITIONS}END")
        self.add("sbatch", f'echo "$@" >>{self.submitted}; echo "17;cluster"')

    def add(self, name: str, script: str) -> None:
        (self.bin / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.bin / name).chmod(0o755)

    def submit(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Runs the script there; `settings` are its site settings."""
        path = f"{self.bin}:{os.environ['PATH']}"
        return subprocess.run(
            [SCRIPTS / "submit.sh", *words],
            cwd=self.run.folder,
            env=job_environment() | {"PATH": path, "LONGROPE": str(program())} | settings,
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )


def bf16(configuration: Configuration) -> Configuration:
    """The same search in the precision of GPUs."""
    return changed(configuration, evaluator={"precision": "bf16"})


def options_of(script: str) -> dict[str, str]:
    """The options in a job script, the last of each name, as Slurm reads them."""
    lines = re.findall(r"^#SBATCH (--?[\w-]+)[= ]?(.*)$", script, re.MULTILINE)
    return dict(lines)


def below_first_command(script: str) -> str:
    """What Slurm does not look at: all that follows the first line that is no comment."""
    lines = script.splitlines()
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    return "\n".join(lines[first:])


class SubmitTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def cluster(self, configuration: Configuration | None = None) -> Cluster:
        """Without a configuration: 64 tasks a generation, some 5950 of a second in all."""
        folder = self.folder / str(len(list(self.folder.iterdir())))
        folder.mkdir()
        return Cluster(folder, configuration or self.an_hour_and_a_half())

    def an_hour_and_a_half(self) -> Configuration:
        return synthetic_search(
            population=64,
            parents=32,
            mutations=16,
            crossovers=16,
            iterations=90,
            duration_ms=1000,
        )

    def llama2(self, *tokens: int, **evaluator: str) -> Cluster:
        """A search of LLaMA2-7B with a stage for each of `tokens`, named after it."""
        cluster = self.cluster(synthetic_search())
        llama2_search(cluster.run.folder, tokens, **evaluator)
        return cluster

    def script(self, cluster: Cluster, *words: str, **settings: str) -> str:
        """The script that a dry run prints."""
        done = cluster.submit("--dry-run", "search.toml", *words, **settings)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertFalse(cluster.submitted.exists())
        self.assertFalse((cluster.run.folder / "run").exists())
        subprocess.run(["bash", "-n"], input=done.stdout, text=True, check=True)
        self.assertNotIn("#SBATCH", below_first_command(done.stdout))
        return done.stdout

    def refusal(self, status: int, cluster: Cluster, *words: str, **settings: str) -> str:
        """What it says when it refuses; nothing must have been submitted."""
        done = cluster.submit(*words, **settings)
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        self.assertFalse(cluster.submitted.exists())
        self.assertNotIn("unbound variable", done.stderr)
        return done.stderr


class Asked(SubmitTest):
    """What is asked for."""

    def test_ranks_memory_and_time_come_from_the_estimate(self) -> None:
        options = options_of(self.script(self.cluster()))
        self.assertEqual(options["--nodes"], "1")
        self.assertEqual(options["--cpus-per-task"], "4")
        self.assertEqual(options["--ntasks-per-node"], "4")  # 16 cores of the smallest node
        self.assertEqual(options["--mem"], f"{4 * 512}M")  # nothing is held but the reserve
        # 5950 s on 4 ranks, one and a half times, 15 minutes more, in steps of 5.
        self.assertEqual(options["--time"], "00:55:00")
        self.assertEqual(options["--partition"], "short")
        self.assertEqual(options["--job-name"], "longrope-search")
        self.assertEqual(options["--output"], "run/slurm-%j.log")
        self.assertNotIn("--gpus-per-node", options)
        self.assertIn("--requeue", options)
        self.assertEqual(options["--signal"], "B:USR1@120")

    def test_no_more_ranks_than_a_generation_has_tasks(self) -> None:
        few = synthetic_search(mutations=1, crossovers=1, documents=1, duration_ms=1)
        cluster = self.cluster(few)
        self.assertEqual(options_of(self.script(cluster))["--ntasks-per-node"], "2")
        self.assertEqual(options_of(self.script(cluster, NODES="2"))["--ntasks-per-node"], "1")
        done = cluster.submit("search.toml", "--ntasks-per-node=4", "--dry-run")
        self.assertIn("4 ranks, but a generation has 2 tasks", done.stderr)

    @needs_demo_documents()
    def test_memory_of_a_model_is_that_of_its_evaluators(self) -> None:
        cluster = self.cluster(demo_search())
        memory = {
            ranks: int(options_of(self.script(cluster, f"--ntasks-per-node={ranks}"))["--mem"][:-1])
            for ranks in (1, 4)
        }
        self.assertGreater(memory[1], 512)
        self.assertEqual(memory[4], 4 * memory[1])
        # 64 bits: awk's numbers end earlier on some systems.
        words = ("--ntasks-per-node=1", "--partition=huge")
        huge = options_of(self.script(cluster, *words, MEMORY_RESERVE="1000"))
        self.assertGreater(int(huge["--mem"][:-1]), 10_000)

    @needs_demo_documents()
    def test_streamed_weights_are_counted_once_on_a_node(self) -> None:
        search = demo_search()
        cluster = self.cluster(search)
        resident = int(options_of(self.script(cluster, "--ntasks-per-node=1"))["--mem"][:-1])
        weights = (REPOSITORY / "models/demo/model.safetensors").stat().st_size
        shared = weights // 2**20 + 1
        cluster = self.cluster(changed(search, evaluator={"weights": "streamed"}))
        asked = {}
        for ranks in (1, 4):
            script = self.script(cluster, f"--ntasks-per-node={ranks}")
            asked[ranks] = int(options_of(script)["--mem"][:-1])
            self.assertIn(f" and {shared} MiB of the model's files per node", script)
        per_rank = (asked[4] - asked[1]) // 3
        self.assertEqual(asked, {ranks: ranks * per_rank + shared for ranks in (1, 4)})
        self.assertLess(per_rank, resident)

    def test_memory_is_not_asked_for_where_it_is_not_managed(self) -> None:
        self.assertNotIn("--mem", options_of(self.script(self.cluster(), PARTITION="unmanaged")))

    def test_a_rank_per_gpu(self) -> None:
        options = options_of(self.script(self.cluster(), GPUS_PER_NODE="3", PARTITION="long"))
        self.assertEqual(options["--gpus-per-node"], "3")
        self.assertEqual(options["--ntasks-per-node"], "3")
        words = ("--gpus-per-node=a100:2", "-p", "long")
        options = options_of(self.script(self.cluster(), *words))
        self.assertEqual(options["--gpus-per-node"], "a100:2")
        self.assertEqual(options["--ntasks-per-node"], "2")

    def test_of_several_partitions_nothing_is_assumed(self) -> None:
        options = options_of(self.script(self.cluster(), "--partition=short,gpu"))
        self.assertEqual(options["--partition"], "short,gpu")
        self.assertEqual(options["--ntasks-per-node"], "1")

    def test_options_replace_what_would_be_asked_for(self) -> None:
        script = self.script(
            self.cluster(),
            *"--time=2-0 -N 3 --ntasks-per-node 5 -c 2 --mem=9G -p long -A me".split(),
        )
        options = options_of(script)
        self.assertEqual(options["--time"], "2-00:00:00")
        self.assertEqual(options["--nodes"], "3")
        self.assertEqual(options["--ntasks-per-node"], "5")
        self.assertEqual(options["--cpus-per-task"], "2")
        self.assertEqual(options["--mem"], "9G")
        self.assertEqual(options["--partition"], "long")
        self.assertEqual(options["--account"], "me")
        self.assertIn("on 15 rank(s)", script)

    def test_other_options_come_last_so_that_they_win(self) -> None:
        words = ["--signal=B:USR1@300", "--mail-user", "a b", "--comment=x y", "-q", "high", "-H"]
        script = self.script(self.cluster(), *words)
        self.assertEqual(options_of(script)["--signal"], "B:USR1@300")
        for line in ('--mail-user "a b"', '--comment="x y"', "-q high", "-H"):
            self.assertIn(f"\n#SBATCH {line}\n", script)

    def test_names_and_values_are_written_as_slurm_reads_them(self) -> None:
        cluster = self.cluster()
        (cluster.run.folder / "search.toml").rename(cluster.run.folder / "it's #1.toml")
        words = ("--comment=50%j", "--wckey", 'a"b\\c')
        place = {"LONGROPE_RUN_DIRECTORY": "50% #1"}
        done = cluster.submit("--dry-run", "it's #1.toml", *words, **place)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        for line in (
            '--job-name="longrope-it\'s #1"',
            '--output="50%% #1/slurm-%j.log"',
            "--comment=50%j",
            '--wckey "a\\"b\\\\c"',
        ):
            self.assertIn(f"\n#SBATCH {line}\n", done.stdout)

    def test_memory_per_core_or_gpu_takes_the_place_of_that_per_node(self) -> None:
        for words in (("--mem-per-cpu=4G",), ("--mem-per-gpu", "40G")):
            options = options_of(self.script(self.cluster(), *words))
            self.assertNotIn("--mem", options)
            self.assertEqual(options[words[0].partition("=")[0]], words[-1].rpartition("=")[2])
        done = self.cluster().submit("search.toml", "--mem-per-cpu=4G")
        self.assertIn("0 GPU(s) and any memory per node (--mem-per-cpu), 00:", done.stdout)

    def test_other_generic_resources_are_passed_on(self) -> None:
        for words in (("--gres=lscratch:100",), ("--gres", "lscratch:100")):
            script = self.script(self.cluster(), *words)
            self.assertIn("\n#SBATCH --gres=lscratch:100\n", script)

    def test_site_settings_come_from_the_environment(self) -> None:
        script = self.script(
            self.cluster(),
            ACCOUNT="group",
            PARTITION="long",
            CORES_PER_RANK="8",
            MODULES="gcc/12 openmpi/4.1",
            MPIRUN="mpirun --mca btl ^openib",
        )
        options = options_of(script)
        self.assertEqual(options["--account"], "group")
        self.assertEqual((options["--cpus-per-task"], options["--ntasks-per-node"]), ("8", "4"))
        self.assertIn("\nmodules=(gcc/12 openmpi/4.1)\n", script)
        self.assertIn("\nmpirun=(mpirun --mca btl ^openib)\n", script)

    def test_times_are_read_as_slurm_reads_them(self) -> None:
        for given, read in (
            ("90", "01:30:00"),
            ("90:30", "01:30:30"),
            ("01:30:30", "01:30:30"),
            ("1-0", "1-00:00:00"),
            ("1-02:03", "1-02:03:00"),
            ("1-02:03:04", "1-02:03:04"),
            ("08:09", "00:08:09"),
        ):
            with self.subTest(given):
                script = self.script(self.cluster(), f"--time={given}", PARTITION="long")
                self.assertEqual(options_of(script)["--time"], read)

    def test_a_cluster_that_tells_nothing_is_no_obstacle(self) -> None:
        cluster = self.cluster()
        cluster.add("sinfo", "echo 'slurm_load_partitions: Unable to contact' >&2; exit 1")
        done = cluster.submit("search.toml", "--dry-run")
        self.assertEqual(done.returncode, EXIT_DONE)
        self.assertIn("Unable to contact", done.stderr)
        self.assertEqual(options_of(done.stdout)["--ntasks-per-node"], "1")

    def test_what_was_submitted_is_kept_and_told(self) -> None:
        cluster = self.cluster()
        expected = self.script(cluster)
        done = cluster.submit("search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertEqual(cluster.submitted.read_text(), "--parsable run/search.sbatch\n")
        kept = (cluster.run.folder / "run" / "search.sbatch").read_text()
        self.assertEqual(kept, expected)
        for told in (
            "job 17: search.toml in run\n",
            "1 node(s) x 4 rank(s) x 4 core(s), 0 GPU(s) and 2048M memory per node, 00:55:00, "
            "partition short\n",
            "run/slurm-17.log\n",
            "status --watch run\n",
        ):
            self.assertIn(told, done.stdout)
        self.assertRegex(done.stdout, r"\nestimated: 00:24:\d\d for CPUs\n")

    def test_a_search_in_parts_says_in_how_many(self) -> None:
        done = self.cluster().submit("search.toml", "--time=10", "--ntasks-per-node=2")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertRegex(
            done.stdout, r"estimated: 00:49:\d\d for CPUs, about 5 starts of the job\n"
        )

    def test_a_complete_search_is_not_submitted(self) -> None:
        cluster = self.cluster(synthetic_search())
        cluster.run.complete()
        done = cluster.submit("search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertIn("the search in run is complete", done.stderr)
        self.assertFalse(cluster.submitted.exists())

    def test_a_run_directory_in_use_is_told(self) -> None:
        cluster = self.cluster(synthetic_search(duration_ms=100))
        done = cluster.submit("search.toml")
        self.assertNotIn("in use", done.stderr)
        job = cluster.run.start()
        self.addCleanup(cluster.run.clean_up)
        cluster.run.wait_for_scores(1)
        done = cluster.submit("search.toml")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertRegex(done.stderr, rf"note: run is in use by host \S+, process {job.pid};")


class Refused(SubmitTest):
    """What is refused, and with what advice."""

    def test_no_sbatch(self) -> None:
        cluster = self.cluster()
        for command in ("sbatch", "sinfo"):
            (cluster.bin / command).unlink()
        tools = "bash env cat awk grep sed dirname basename mkdir timeout python3 date".split()
        for tool in tools:
            path = next(
                Path(folder) / tool
                for folder in ("/usr/bin", "/bin")
                if (Path(folder) / tool).exists()
            )
            (cluster.bin / tool).symlink_to(path)
        said = self.refusal(FAILURE, cluster, "search.toml", PATH=str(cluster.bin))
        self.assertIn("sbatch is not in PATH", said)
        dry = cluster.submit("--dry-run", "search.toml", PATH=str(cluster.bin))
        self.assertEqual(dry.returncode, EXIT_DONE, dry.stderr)

    def test_no_program(self) -> None:
        said = self.refusal(FAILURE, self.cluster(), "search.toml", LONGROPE="/none/longrope")
        self.assertIn("no program at /none/longrope; build it", said)

    def test_a_wrong_configuration_in_the_words_of_the_program(self) -> None:
        cluster = self.cluster(changed(synthetic_search(), stage={"parents": 1000}))
        said = self.refusal(EXIT_CONFIGURATION, cluster, "search.toml")
        self.assertIn("stage.parents = 1000", said)
        self.assertIn("nothing was submitted", said)
        said = self.refusal(EXIT_CONFIGURATION, cluster, "none.toml")
        self.assertIn("none.toml", said)

    def test_an_estimate_above_the_limit_of_the_partition(self) -> None:
        said = self.refusal(FAILURE, self.cluster(), "search.toml", "--ntasks-per-node=2")
        self.assertRegex(said, r"about 00:49:\d\d on 2 ranks \(with reserve: 01:30:00\)")
        self.assertIn("partition short allows 01:00:00", said)
        self.assertIn("--time=01:00:00", said)

    def test_a_time_above_the_limit_of_the_partition(self) -> None:
        said = self.refusal(FAILURE, self.cluster(), "search.toml", "--time=61")
        self.assertIn("--time=61, but partition short allows 01:00:00", said)

    def test_a_partition_that_is_not_there(self) -> None:
        said = self.refusal(FAILURE, self.cluster(), "search.toml", "-p", "gpu")
        self.assertIn("there is no partition gpu; there are: short short long huge unmanaged", said)

    def test_more_than_a_node_has(self) -> None:
        said = self.refusal(FAILURE, self.cluster(), "search.toml", "--ntasks-per-node=5")
        self.assertIn("5 ranks of 4 cores do not fit into the 16 cores", said)
        crowd = ("search.toml", "--ntasks-per-node=64", "-c", "1", "-p", "long")
        said = self.refusal(FAILURE, self.cluster(), *crowd)
        self.assertIn("64 ranks of 1 cores do not fit into the 32 cores", said)

    @needs_demo_documents()
    def test_more_memory_than_a_node_has(self) -> None:
        cluster = self.cluster(demo_search())
        words = ("search.toml", "--ntasks-per-node=2")
        said = self.refusal(FAILURE, cluster, *words, MEMORY_RESERVE="10000")
        self.assertRegex(said, r"2 ranks need \d+ MiB of memory, more than the 32000 of a node")
        self.assertNotIn("streamed", said)  # no help with so small a model

    def test_streamed_weights_are_advised_where_they_help(self) -> None:
        cluster = self.llama2(8192, precision="f32")
        words = ("search.toml", "--ntasks-per-node=2")
        said = self.refusal(FAILURE, cluster, *words)
        self.assertIn('--ntasks-per-node), evaluator.weights = "streamed", or your own', said)

    def test_fewer_gpus_than_ranks(self) -> None:
        words = ("search.toml", "--gpus-per-node=2", "--ntasks-per-node=4")
        said = self.refusal(EXIT_USAGE, self.cluster(), *words)
        self.assertIn("4 ranks per node, but --gpus-per-node=2", said)

    def test_a_document_that_takes_longer_than_the_job(self) -> None:
        cluster = self.cluster(synthetic_search(duration_ms=40 * 60 * 1000))
        said = self.refusal(FAILURE, cluster, "search.toml", "--time=60")
        self.assertIn("one document takes a rank about 00:40:00, too long for a job of 01:00", said)

    def test_what_sbatch_says_is_passed_on(self) -> None:
        cluster = self.cluster()
        cluster.add("sbatch", "echo 'sbatch: error: Invalid qos specification' >&2; exit 1")
        said = self.refusal(FAILURE, cluster, "search.toml", "--qos=none")
        self.assertIn("sbatch refused run/search.sbatch and said", said)
        self.assertIn("Invalid qos specification", said)

    def test_names_that_a_job_script_cannot_hold(self) -> None:
        place = {"LONGROPE_RUN_DIRECTORY": "a\\b"}
        said = self.refusal(EXIT_USAGE, self.cluster(), "search.toml", **place)
        self.assertIn("a\\b has a backslash", said)
        said = self.refusal(EXIT_USAGE, self.cluster(), "search.toml", "--comment=a\n#SBATCH -H")
        self.assertIn("--comment=a\\n#SBATCH -H: a job script cannot hold a line break", said)

    def test_a_command_line_that_cannot_be_meant(self) -> None:
        cluster = self.cluster()
        for words, told in (
            ((), "no configuration given"),
            (("--time=5", "search.toml"), "options for sbatch come after CONFIG"),
            (("search.toml", "other.toml"), "unknown argument: other.toml"),
            (("search.toml", "--time"), "--time needs a value"),
            (("search.toml", "--time=soon"), "--time=soon: expected minutes"),
            (("search.toml", "--time=1:2:3:4"), "--time=1:2:3:4: expected minutes"),
            (("search.toml", "--ntasks=4"), "--nodes and --ntasks-per-node"),
            (("search.toml", "-N2"), "put a space after -N"),
            (("search.toml", "--gres=gpu:2"), "--gres=gpu:2: use --gpus-per-node"),
            (("search.toml", "--gres", "lscratch:9,gpu"), "gpu: use --gpus-per-node"),
            (("search.toml", "--gres"), "--gres needs a value"),
            (("search.toml", "--gpus=4"), "--gpus=4: use --gpus-per-node"),
            (("search.toml", "-G", "4"), "-G: use --gpus-per-node"),
            (("search.toml", "--gpus-per-task=1"), "--gpus-per-task=1: use --gpus-per-node"),
            (("search.toml", "--array=1-3"), "--array=1-3: a search is one job"),
            (("search.toml", "-a", "1-3"), "-a: a search is one job"),
            (("search.toml", "--nodes=0"), "NODES=0: expected a number from 1"),
            (("search.toml", "--nodes=1-2"), "NODES=1-2: expected a number from 1"),
            (("search.toml", "--ntasks-per-node=x"), "RANKS_PER_NODE=x"),
            (("search.toml", "--gpus-per-node=a100"), "GPUS_PER_NODE=a100: expected"),
        ):
            with self.subTest(words):
                self.assertIn(told, self.refusal(EXIT_USAGE, cluster, *words))


class OnGpus(SubmitTest):
    """What is asked for, and refused, where ranks have GPUs."""

    def check(self, cluster: Cluster) -> list[dict[str, float]]:
        """The stages, as `search --check` counts their tasks and FLOP."""
        words = ("search", "--check", "--json", "--ranks", "1", "search.toml")  # of other machines
        done = run_program(*words, folder=cluster.run.folder)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        return json.loads(done.stdout)["stages"]

    def seconds(self, script: str, device: str) -> int:
        """What the script says that the search takes on the device."""
        told = re.search(rf"(?m)^# Estimated for {device}: (?:(\d+)-)?(\d+):(\d+):(\d+) on", script)
        assert told is not None, script
        days, hours, minutes, seconds = (int(field or 0) for field in told.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    def test_the_time_is_that_of_the_gpu_named(self) -> None:
        cluster = self.llama2(65536, 131072)
        settings = {"GPUS_PER_NODE": "8", "GPU_DEVICE": "h100-80gb"}
        script = self.script(cluster, "--time=60", *NO_LIMITS, **settings)
        # All stages at half the peak of 989 TFLOP/s, on eight ranks, which a generation keeps busy
        # in whole rounds.
        stages = self.check(cluster)
        flop = sum(stage["tasks_left"] * stage["flop_per_task"] for stage in stages)
        at_once = max(stage["tasks_at_once"] for stage in stages)
        expected = flop / 0.5 / 989e12 * math.ceil(at_once / 8) / at_once
        self.assertAlmostEqual(self.seconds(script, "h100-80gb"), expected, delta=1)
        self.assertRegex(script, r"(?m)^# Estimated.* on 8 rank\(s\) with a GPU each,")
        self.assertRegex(script, r"(?m)^# Estimated.*, 00:00:13 per document\.$")
        self.assertEqual(options_of(script)["--time"], "01:00:00")
        # Unless it is given, with the reserve.
        asked = options_of(self.script(cluster, *NO_LIMITS, **settings))["--time"]
        hours, minutes, _ = map(int, asked.split(":"))
        self.assertAlmostEqual(hours * 60 + minutes, 1.5 * expected / 60 + 15, delta=5)

    def test_a_generation_keeps_ranks_busy_in_whole_rounds(self) -> None:
        cluster = self.llama2(65536)
        words = ("--time=60", *NO_LIMITS, "--nodes=3")
        seconds = {
            gpus: self.seconds(
                self.script(cluster, *words, GPUS_PER_NODE=gpus, GPU_DEVICE="h100-80gb"),
                "h100-80gb",
            )
            for gpus in ("1", "2")
        }
        (stage,) = self.check(cluster)
        rounds = {gpus: math.ceil(stage["tasks_at_once"] / (3 * int(gpus))) for gpus in seconds}
        self.assertNotEqual(rounds["1"], 2 * rounds["2"])
        ratio = rounds["1"] / rounds["2"]
        self.assertAlmostEqual(seconds["1"] / seconds["2"], ratio, delta=0.001 * ratio)

    def test_gpus_that_are_not_named_take_no_notice_of_streamed_weights(self) -> None:
        asked = {}
        for weights in ("resident", "streamed"):
            script = self.script(
                self.llama2(8192, weights=weights), "--time=60", *NO_LIMITS, GPUS_PER_NODE="2"
            )
            asked[weights] = options_of(script)["--mem"]
            self.assertNotIn("of the model's files", script)
        self.assertEqual(asked["streamed"], asked["resident"])

    def test_the_memory_is_that_of_the_host(self) -> None:
        # Weights in bfloat16 and CUDA's 2 GiB; once more the weights that no longer fit the GPU.
        weights = 2 * PARAMETERS
        for tokens, device, held in (
            (131072, "h100-80gb", weights),
            (1048576, "a100-40gb", 2 * weights),
        ):
            with self.subTest(tokens):
                cluster = self.llama2(tokens)
                words = (*NO_LIMITS, "--time=1-0")
                settings = {"GPUS_PER_NODE": "2", "GPU_DEVICE": device}
                script = self.script(cluster, *words, **settings)
                asked = int(options_of(script)["--mem"][:-1])
                expected = 2 * (1.25 * (held + 2 * 2**30) / 2**20 + 512)
                # Embeddings are never page-locked.
                tables = 2 * 1.25 * 2 * 2 * 32000 * 4096 / 2**20 if held > weights else 0
                self.assertAlmostEqual(asked, expected - tables, delta=10)
                self.assertEqual(
                    options_of(self.script(cluster, *words, "--mem=9G", **settings))["--mem"], "9G"
                )

    def test_a_stage_that_does_not_fit_the_gpu(self) -> None:
        cluster = self.llama2(1048576, 2097152)
        settings = {"GPUS_PER_NODE": "8", "GPU_DEVICE": "a100-40gb"}
        said = self.refusal(FAILURE, cluster, "search.toml", "--time=1-0", *NO_LIMITS, **settings)
        self.assertRegex(
            said,
            r"stage 1048576 \(1048576 tokens; another stage gives its evaluators 2097152\) needs "
            r"\d{11} bytes \(\d\d\.\d GiB\) of GPU memory, but a100-40gb has 41875931136 "
            r"\(39\.0 GiB\); nothing was submitted",
        )
        self.assertFalse((cluster.run.folder / "run").exists())
        settings["GPU_DEVICE"] = "h200-141gb"
        self.script(cluster, "--time=1-0", *NO_LIMITS, **settings)

    def test_a_stage_that_is_done_counts_no_more(self) -> None:
        # A GPU would have done the second: its tasks are struck out of the program's answer.
        cluster = self.llama2(1048576, 2097152)
        strike = 's/"tasks_left":[0-9]*/"tasks_left":0/2'
        cluster.add(
            "longrope",
            f'said=$({program()} "$@") || status=$?\n'
            f'[ -z "$said" ] || echo "$said" | sed \'{strike}\'\nexit ${{status:-0}}',
        )
        settings = {"GPUS_PER_NODE": "8", "GPU_DEVICE": "h200-141gb"}
        stand_in = {"LONGROPE": str(cluster.bin / "longrope")}
        script = self.script(cluster, "--time=1-0", *NO_LIMITS, **settings, **stand_in)
        first = self.check(cluster)[0]
        expected = first["tasks_left"] * first["flop_per_task"] / 0.5 / 989e12 / 8
        self.assertAlmostEqual(self.seconds(script, "h200-141gb"), expected, delta=1)
        # Of the GPU's memory it does: a search makes its evaluators for all stages of a model.
        settings["GPU_DEVICE"] = "a100-40gb"
        words = ("search.toml", "--time=1-0", *NO_LIMITS)
        said = self.refusal(FAILURE, cluster, *words, **settings, **stand_in)
        self.assertIn("stage 1048576 (1048576 tokens; another stage gives its evaluators", said)

    def test_a_document_that_takes_longer_than_the_job(self) -> None:
        cluster = self.llama2(1048576)
        settings = {"GPUS_PER_NODE": "8", "GPU_DEVICE": "a100-80gb"}
        said = self.refusal(FAILURE, cluster, "search.toml", "--time=20", *NO_LIMITS, **settings)
        self.assertRegex(said, r"one document takes a rank about 00:\d\d:\d\d, too long for")
        self.assertNotIn("more cores", said)

    @needs_demo_documents()
    def test_what_was_submitted_is_told_with_the_gpu(self) -> None:
        settings = {"GPUS_PER_NODE": "2", "GPU_DEVICE": "b200-180gb", "PARTITION": "long"}
        done = self.cluster(bf16(demo_search())).submit("search.toml", **settings)
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertRegex(done.stdout, r"\nestimated: \d\d:\d\d:\d\d for b200-180gb\n")
        self.assertEqual(done.stderr, "")

    @needs_demo_documents()
    def test_an_unknown_gpu_in_the_words_of_the_program(self) -> None:
        cluster = self.cluster(bf16(demo_search()))
        settings = {"GPUS_PER_NODE": "2", "GPU_DEVICE": "h100", "PARTITION": "long"}
        for words in (("search.toml",), ("--dry-run", "search.toml")):
            said = self.refusal(EXIT_USAGE, cluster, *words, **settings)
            self.assertIn('--device: "h100" is not known; accepted are a100-40gb', said)
            self.assertIn("no estimate for GPU_DEVICE=h100 (above); nothing was submitted", said)

    @needs_demo_documents()
    def test_a_configuration_that_does_not_compute_on_gpus(self) -> None:
        precision = changed(demo_search(), evaluator={"precision": "f32"})
        backend = changed(bf16(demo_search()), evaluator={"backend": "cpu"})
        settings = {"GPUS_PER_NODE": "2", "PARTITION": "long"}
        for configuration, told in (
            (precision, 'evaluator.precision = "f32": GPUs compute in bf16.\n'),
            (backend, 'evaluator.backend = "cpu"'),
            (synthetic_search(), 'evaluator.backend = "synthetic"'),
        ):
            with self.subTest(told):
                cluster = self.cluster(configuration)
                named = {"GPU_DEVICE": "h100-80gb"} | settings
                said = self.refusal(EXIT_USAGE, cluster, "search.toml", **named)
                self.assertIn(told, said)
                self.assertIn("GPU_DEVICE=h100-80gb; nothing was submitted", said)
                self.assertIn("LONGROPE_EVALUATOR_PRECISION=bf16", said)
                done = cluster.submit("--dry-run", "search.toml", **settings)
                self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
                self.assertIn("the ranks will compute on CPUs", done.stderr)
                self.assertIn(told, done.stderr)
                self.assertIn("# Estimated for CPUs:", done.stdout)
        environment = {"LONGROPE_EVALUATOR_PRECISION": "bf16", "GPU_DEVICE": "h100-80gb"}
        script = self.script(self.cluster(precision), **environment, **settings)
        self.assertIn("# Estimated for h100-80gb:", script)

    @needs_demo_documents()
    def test_a_gpu_that_is_not_named_is_not_guessed(self) -> None:
        cluster = self.cluster(bf16(demo_search()))
        words = ("search.toml", "--dry-run", "-p", "long", "--ntasks-per-node=2")
        on_cpus = cluster.submit(*words)
        done = cluster.submit(*words, GPUS_PER_NODE="2")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertIn("estimated for CPUs, as the GPU is not named", done.stderr)
        self.assertIn("the time is too long, never too short", done.stderr)
        self.assertIn("GPU_DEVICE=NAME", done.stderr)
        self.assertRegex(done.stdout, r"# Estimated for CPUs: .* on 2 rank\(s\) with a GPU each")
        asked, of_cpus = options_of(done.stdout), options_of(on_cpus.stdout)
        self.assertEqual(asked["--time"], of_cpus["--time"])
        cuda = 2 * 1.25 * 2048  # two ranks, with the reserve
        self.assertEqual(int(asked["--mem"][:-1]), int(of_cpus["--mem"][:-1]) + cuda)

    def test_a_name_without_gpus_does_not_count(self) -> None:
        done = self.cluster().submit("--dry-run", "search.toml", GPU_DEVICE="h100-80gb")
        self.assertEqual(done.returncode, EXIT_DONE, done.stderr)
        self.assertIn("GPU_DEVICE=h100-80gb does not count, since GPUS_PER_NODE=0", done.stderr)
        self.assertIn("# Estimated for CPUs:", done.stdout)

    def test_weights_that_are_not_there(self) -> None:
        cluster = self.llama2(131072)
        (cluster.run.folder / "llama2-7b" / "model.safetensors").unlink()
        settings = {"GPUS_PER_NODE": "8", "GPU_DEVICE": "h100-80gb"}
        for words in (("search.toml",), ("--dry-run", "search.toml")):
            said = self.refusal(EXIT_BAD_FILE, cluster, *words, **settings)
            self.assertIn("expected weights in the safetensors format", said)
            self.assertIn("LONGROPE_MODEL_PATH=FOLDER", said)
            self.assertIn("estimate --device NAME search.toml", said)
            self.assertIn("nothing was submitted", said)
        for name in ("MODEL", "DOCUMENTS"):
            settings[f"LONGROPE_{name}_PATH"] = "none"
            said = self.refusal(EXIT_BAD_FILE, self.llama2(131072), "search.toml", **settings)
            self.assertIn("LONGROPE_DOCUMENTS_PATH=FILE", said)
            del settings[f"LONGROPE_{name}_PATH"]
        # Other files that are wrong are not for want of weights.
        cluster = self.llama2(131072)
        (cluster.run.folder / "run").mkdir()
        (cluster.run.folder / "run" / "search.h5").write_bytes(b"no history")
        said = self.refusal(EXIT_BAD_FILE, cluster, "search.toml", **settings)
        self.assertNotIn("LONGROPE_MODEL_PATH", said)


class JobScript(unittest.TestCase):
    """search.sbatch where there is no Slurm."""

    def run_script(self, **environment: str) -> subprocess.CompletedProcess[str]:
        plain = {key: value for key, value in os.environ.items() if not key.startswith("SLURM")}
        return subprocess.run(
            ["bash", SCRIPTS / "search.sbatch"],
            env=plain | environment,
            text=True,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )

    def test_it_wants_to_be_submitted_with_a_configuration(self) -> None:
        alone = self.run_script()
        self.assertEqual(alone.returncode, EXIT_USAGE)
        self.assertIn("submit it with sbatch", alone.stderr)
        empty = self.run_script(SLURM_JOB_ID="17")
        self.assertEqual(empty.returncode, EXIT_USAGE)
        self.assertIn("no configuration given", empty.stderr)

    def test_slurm_reads_all_its_options(self) -> None:
        script = (SCRIPTS / "search.sbatch").read_text()
        self.assertNotIn("#SBATCH", below_first_command(script))
        self.assertIn("--time", options_of(script))


if __name__ == "__main__":
    unittest.main()
