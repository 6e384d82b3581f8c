# SPDX-License-Identifier: Apache-2.0
"""Checks searches as jobs of a real Slurm: requeued, warned, out of time, cancelled, wrong; and the
job of a fine-tuning, with a stand-in for what it starts.

Usage: python tests/run_python_test.py tests/integration/slurm_test.py

Needs root and Slurm's programs; scripts/install_dependencies.sh --slurm installs them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
import unittest
from pathlib import Path

from bad_input import EXIT_CONFIGURATION
from search_run import (
    EXIT_STOPPED_EARLY,
    Configuration,
    SearchRun,
    assert_same_search,
    changed,
    hanging,
    program,
    synthetic_search,
    to_toml,
)
from single_node_slurm import SingleNodeSlurm, missing

REPOSITORY = Path(__file__).resolve().parents[2]
SUBMIT = REPOSITORY / "scripts" / "slurm" / "submit.sh"
FINETUNE = REPOSITORY / "scripts" / "slurm" / "finetune.sbatch"
RANKS = 2
SLOW_MILLISECONDS = 20
# The job that runs out of time has a minute, which is Slurm's smallest limit, and needs more.
LONG_MILLISECONDS = 500

# The settings that differ between the jobs and the reference.
OPERATIONAL = {"/@configuration"}


def submit_script(
    slurm: SingleNodeSlurm, *words: str, folder: Path, **settings: str
) -> subprocess.CompletedProcess[str]:
    """Runs scripts/slurm/submit.sh for a job of two ranks, with `settings` of the site."""
    size = ("--ntasks-per-node", str(RANKS), "--cpus-per-task=1")
    more = {"LONGROPE": str(program())} | settings
    done = slurm.run(SUBMIT, *words, *size, folder=folder, more=more)
    if done.returncode != 0:
        raise AssertionError(f"submit.sh: {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def lingering_launcher(folder: Path) -> str:
    """An mpirun that passes signals on and does not end, as where a rank stands still."""
    launcher = folder / "lingering_mpirun"
    launcher.write_text(
        "#!/bin/bash\n"
        'mpirun "$@" & ranks=$!\n'
        "trap 'kill -USR1 $ranks' USR1\n"
        "while kill -0 $ranks 2>/dev/null; do wait $ranks; done\n"
        "exec sleep 1000\n"
    )
    launcher.chmod(0o755)
    return str(launcher)


def failing_launcher(folder: Path, failures: int) -> str:
    """An mpirun that fails its first calls, as where a node's daemon cannot be reached."""
    launcher = folder / "failing_mpirun"
    calls = folder / "calls"
    launcher.write_text(
        "#!/bin/bash\n"
        f'echo call >>"{calls}"\n'
        f'[ "$(wc -l <"{calls}")" -gt {failures} ] || exit 1\n'
        'exec mpirun "$@"\n'
    )
    launcher.chmod(0o755)
    return str(launcher)


def slow_program(folder: Path, *words: str) -> str:
    """The program, which takes two seconds longer where its words begin with these: what it says of
    a history is old then."""
    wrapper = folder / "slow_longrope"
    wrapper.write_text(
        "#!/bin/bash\n"
        f'said=$("{program()}" "$@"); status=$?\n'
        f'[[ "$*" != "{" ".join(words)}"* ]] || sleep 2\n'
        'printf "%s\\n" "$said"\n'
        "exit $status\n"
    )
    wrapper.chmod(0o755)
    return str(wrapper)


class Job:
    """A search that scripts/slurm/submit.sh has submitted."""

    def __init__(
        self, slurm: SingleNodeSlurm, folder: Path, configuration: Configuration, *options: str
    ) -> None:
        self.slurm = slurm
        self.run = SearchRun(folder, configuration)
        report = submit_script(slurm, "search.toml", *options, folder=folder).stdout
        announced = re.match(r"job (\d+): search\.toml in run\n", report)
        assert announced is not None, report
        self.number = announced[1]

    def log(self) -> str:
        """What all starts of the job have written."""
        file = self.run.folder / "run" / f"slurm-{self.number}.log"
        return file.read_text() if file.exists() else f"{file} does not exist"

    def wait_for_scores(self, count: int) -> int:
        """Waits until a running job has stored so many; returns how many there are."""

        def enough() -> int | None:
            if (state := self.slurm.state(self.number)) not in ("PENDING", "RUNNING"):
                raise AssertionError(f"{state} before {count} scores\n{self.log()}")
            stored = len(self.run.scores())
            return stored if stored >= count else None

        return self.slurm.wait_until(enough, f"{count} scores are stored\n{self.log()}")

    def wait_for_end(self, *states: str) -> dict[str, str]:
        """Waits until the job is over; what Slurm says of it then."""
        over = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL")
        job = self.slurm.wait_for_state(self.number, *over)
        if job["JobState"] not in states:
            raise AssertionError(f"{job}\n{self.log()}{self.slurm.logs()}")
        return job

    def starts(self) -> list[tuple[str, int]]:
        """Of each start that its log tells: the restart count, and the scores that were there."""
        begun = re.findall(
            r"(starting a new search|continuing the search) in run(?:: (\d+) document scores)?.*\n"
            r"Slurm job \d+ \(restart (\d+)\)",
            self.log(),
        )
        return [(restart, int(stored or 0)) for _, stored, restart in begun]


class EndlessJob(Job):
    """A job that hangs half-way, however long a test takes to interrupt it."""

    search = synthetic_search(duration_ms=SLOW_MILLISECONDS)

    def __init__(self, slurm: SingleNodeSlurm, folder: Path) -> None:
        super().__init__(slurm, folder, hanging(self.search, 40))

    def wait_until_to_be_interrupted(self) -> int:
        """Waits until some scores are stored, and lets the next start come to an end; returns how
        many there are."""
        stored = self.wait_for_scores(20)
        self.run.configure(self.search)
        return stored


@unittest.skipIf(missing(), missing())
class SlurmTest(unittest.TestCase):
    """A Slurm, a search that ran without it, and a job that runs out of time meanwhile."""

    slurm: SingleNodeSlurm
    reference: SearchRun
    out_of_time: Job

    @classmethod
    def setUpClass(cls) -> None:
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)
        cls.slurm = SingleNodeSlurm()
        cls.addClassCleanup(cls.slurm.stop)
        # No warning signal: it has to know its end by itself.
        long = synthetic_search(duration_ms=LONG_MILLISECONDS)
        cls.out_of_time = cls.submit(
            "out of time", "--time=1", "--signal=B:USR1@0", configuration=long
        )
        cls.reference = SearchRun(cls.folder / "reference", synthetic_search())
        cls.reference.complete()

    @classmethod
    def submit(cls, name: str, *options: str, configuration: Configuration) -> Job:
        return Job(cls.slurm, cls.folder / name, configuration, *options)

    @staticmethod
    def search() -> Configuration:
        return synthetic_search(duration_ms=SLOW_MILLISECONDS)

    def assert_complete_after_a_resume(self, job: Job, stored: int, starts: int = 2) -> None:
        """It ended like the reference, and its last start took up at least `stored` scores."""
        self.assertEqual(job.wait_for_end("COMPLETED")["Restarts"], str(starts - 1), job.log())
        self.assertEqual(job.run.state(), "complete")
        assert_same_search(self, self.reference.content(), job.run.content(), besides=OPERATIONAL)
        self.assertEqual(job.run.attribute("starts"), starts)
        begun = job.starts()
        self.assertEqual([restart for restart, _ in begun], [str(i) for i in range(starts)])
        self.assertEqual(begun[0][1], 0)
        self.assertGreater(stored, 0)
        self.assertGreaterEqual(begun[-1][1], stored, job.log())
        self.assertEqual(job.run.attribute("stored_at_start"), begun[-1][1])

    # --- interrupted, and going on ---

    def test_a_requeued_job_goes_on_where_it_was(self) -> None:
        job = EndlessJob(self.slurm, self.folder / "requeued")
        stored = job.wait_until_to_be_interrupted()
        self.slurm.tell("scontrol", "requeue", job.number)
        self.assert_complete_after_a_resume(job, stored)
        self.assertNotIn("queueing job", job.log())  # Slurm did that, and nobody else

    def test_a_job_warned_of_its_end_queues_itself_again(self) -> None:
        job = EndlessJob(self.slurm, self.folder / "warned")
        stored = job.wait_until_to_be_interrupted()
        # As Slurm does for --signal=B:USR1, when its time has come.
        self.slurm.tell("scancel", "--batch", "--signal=USR1", job.number)
        self.assert_complete_after_a_resume(job, stored)
        self.assertIn("stopped early, asked to stop (SIGUSR1)", job.log())
        self.assertIn(f"queueing job {job.number} again", job.log())

    def test_a_job_whose_node_fails_is_requeued_by_slurm_and_goes_on(self) -> None:
        slurm = SingleNodeSlurm()  # of its own: the other jobs keep their node
        self.addCleanup(slurm.stop)
        job = EndlessJob(slurm, self.folder / "node fails")
        stored = job.wait_until_to_be_interrupted()
        node = slurm.job(job.number)["NodeList"]
        slurm.tell("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        # Its daemon answers, so that Slurm takes the node back by itself (ReturnToService).
        self.assert_complete_after_a_resume(job, stored)
        self.assertNotIn("queueing job", job.log())

    def test_a_job_whose_launcher_is_killed_queues_itself_again(self) -> None:
        run = SearchRun(self.folder / "killed", hanging(self.search(), 40))
        launcher = run.folder / "telling_mpirun"
        launcher.write_text('#!/bin/bash\necho $$ >launcher\nexec mpirun "$@"\n')
        launcher.chmod(0o755)
        self.script(run, {}, MPIRUN=str(launcher))
        number = self.submit_written(run)
        self.slurm.wait_until(lambda: len(run.scores()) >= 20, "20 scores are stored")
        run.configure(self.search())
        os.kill(int((run.folder / "launcher").read_text()), signal.SIGKILL)
        self.slurm.wait_for_state(number, "COMPLETED", "FAILED")
        log = (run.folder / "log").read_text()
        self.assertEqual(self.slurm.job(number)["Restarts"], "1", log)
        self.assertEqual(run.state(), "complete", log)

    def test_a_job_warned_before_its_search_begins_queues_itself_again(self) -> None:
        run = SearchRun(self.folder / "warned early", self.search())
        self.script(run, {}, LONGROPE=slow_program(run.folder, "search", "--check"))
        number = self.submit_written(run)
        self.slurm.wait_for_state(number, "RUNNING")
        log = run.folder / "log"
        self.slurm.wait_until(lambda: log.exists() and "restart 0" in log.read_text(), "it began")
        self.slurm.tell("scancel", "--batch", "--signal=USR1", number)
        self.slurm.wait_for_state(number, "COMPLETED", "FAILED")
        self.assertEqual(self.slurm.job(number)["Restarts"], "1", log.read_text())
        self.assertEqual(run.attribute("starts"), 1)

    # --- ended, and staying so ---

    def assert_over(self, job: Job, *states: str) -> dict[str, str]:
        """Slurm has let go of every process of the job, and it is not queued."""
        told = job.wait_for_end(*states)
        self.assertEqual(told["Restarts"], "0", job.log())
        self.assertNotIn("queueing job", job.log())
        self.assertNotIn(job.number, self.slurm.tell("squeue", "-h", "-o", "%A"))
        return told

    def test_a_cancelled_job_stays_cancelled_and_its_search_can_go_on(self) -> None:
        job = EndlessJob(self.slurm, self.folder / "cancelled")
        stored = job.wait_until_to_be_interrupted()
        self.slurm.tell("scancel", job.number)
        self.assert_over(job, "CANCELLED")
        self.assertIn("ended from outside", job.log())
        self.assertGreaterEqual(len(job.run.scores()), stored)
        job.run.complete()
        assert_same_search(self, self.reference.content(), job.run.content(), besides=OPERATIONAL)

    def test_a_wrong_configuration_ends_the_job(self) -> None:
        run = SearchRun(self.folder / "wrong", synthetic_search())
        script = submit_script(self.slurm, "search.toml", "--dry-run", folder=run.folder).stdout
        (run.folder / "search.sbatch").write_text(script)
        # Wrong only after submit.sh has looked at it.
        run.configure(changed(synthetic_search(), stage={"parents": 1000}))
        number = self.slurm.submit("--output=log", "search.sbatch", folder=run.folder)
        told = self.slurm.wait_for_state(number, "FAILED", "COMPLETED", "CANCELLED")
        log = (run.folder / "log").read_text()
        self.assertEqual(told["ExitCode"], f"{EXIT_CONFIGURATION}:0", log)
        self.assertEqual(told["Restarts"], "0")
        self.assertIn("parents = 1000", log)
        self.assertIn("not queued again", log)
        self.assertFalse(run.history.exists())

    def test_a_search_that_fails_ends_the_job(self) -> None:
        job = self.submit("failing", configuration=synthetic_search(fault="start", fault_every=1))
        self.assertEqual(self.assert_over(job, "FAILED")["ExitCode"], "1:0")
        self.assertIn("no worker is left", job.log())
        self.assertIn("not queued again", job.log())

    def assert_not_begun_and_not_requeued(self, run: SearchRun) -> None:
        """Submits a job whose launcher fails, over what an earlier start has left."""
        self.script(run, {"\npause=30 ": "\npause=1 "}, MPIRUN="false")
        number = self.submit_written(run)

        def ended_or_requeued() -> bool:
            job = self.slurm.job(number)
            return job["JobState"] in ("FAILED", "COMPLETED") or job["Restarts"] != "0"

        self.slurm.wait_until(ended_or_requeued, "the job has ended")
        log = (run.folder / "log").read_text()
        self.assertEqual(self.slurm.job(number)["JobState"], "FAILED", log)
        self.assertEqual(self.slurm.job(number)["Restarts"], "0", log)
        self.assertEqual(
            log.count("the search did not begin (see above); once more in 1 s"), 2, log
        )
        self.assertIn("not queued again: this job did not begin the search", log)

    def script(self, run: SearchRun, changes: dict[str, str], **settings: str) -> None:
        """Writes the script that submit.sh fills in, with replacements."""
        answer = submit_script(
            self.slurm, "search.toml", "--dry-run", folder=run.folder, **settings
        )
        script = answer.stdout
        for line, other in changes.items():
            self.assertEqual(script.count(line), 1, line)
            script = script.replace(line, other)
        (run.folder / "search.sbatch").write_text(script)

    def submit_written(self, run: SearchRun) -> str:
        """The number of a job that runs what script() wrote."""
        return self.slurm.submit("--output=log", "search.sbatch", folder=run.folder)

    def test_a_job_that_cannot_begin_is_not_queued_again_for_what_an_earlier_one_did(self) -> None:
        run = SearchRun(self.folder / "cannot begin", hanging(synthetic_search(), 10))
        self.addCleanup(run.clean_up)
        begun = run.start()
        run.wait_for_scores(5)
        begun.terminate()
        self.assertEqual(run.finish(), EXIT_STOPPED_EARLY, run.said())
        self.assert_not_begun_and_not_requeued(run)

    def test_a_job_that_cannot_begin_is_not_over_because_an_earlier_one_was(self) -> None:
        run = SearchRun(self.folder / "cannot go on", synthetic_search(iterations=2))
        run.complete()
        run.configure(synthetic_search(iterations=5))  # now something is left to do
        self.assert_not_begun_and_not_requeued(run)

    def test_a_launcher_that_fails_at_first_is_tried_again(self) -> None:
        run = SearchRun(self.folder / "launched", synthetic_search())
        launcher = failing_launcher(run.folder, 2)
        self.script(run, {"\npause=30 ": "\npause=1 "}, MPIRUN=launcher)
        number = self.submit_written(run)
        self.slurm.wait_for_state(number, "COMPLETED")
        self.assertEqual(self.slurm.job(number)["Restarts"], "0")
        log = (run.folder / "log").read_text()
        self.assertEqual(log.count("the search did not begin"), 2, log)
        self.assertEqual(run.attribute("starts"), 1)

    def test_a_search_that_is_complete_is_not_started_again(self) -> None:
        run = SearchRun(self.folder / "complete", synthetic_search())
        self.script(run, {}, MPIRUN="false")
        run.complete()
        number = self.submit_written(run)
        self.slurm.wait_for_state(number, "COMPLETED")
        self.assertEqual(run.attribute("starts"), 1)

    def test_a_search_that_can_only_wait_ends_its_job_well_every_time(self) -> None:
        later = {"name": "longer", "target_tokens": 4096, "base": "long", "model": "tuned"}
        for name, searched in (("comes to wait", False), ("complete before", True)):
            run = SearchRun(self.folder / name, self.search())
            self.script(run, {"\npause=30 ": "\npause=1 "})
            if searched:
                run.complete()
            file = run.folder / "search.toml"
            file.write_text(file.read_text() + to_toml({"stage": later}))
            said = ""
            for _ in range(2):  # the second, at the latest, has nothing to start
                number = self.submit_written(run)
                self.slurm.wait_for_state(number, "COMPLETED", "FAILED")
                log = (run.folder / "log").read_text().removeprefix(said)
                said += log
                with self.subTest(name):
                    self.assertEqual(self.slurm.job(number)["JobState"], "COMPLETED", log)
                    self.assertEqual(self.slurm.job(number)["Restarts"], "0", log)
                    self.assertEqual(run.state(), "waiting", log)
                    self.assertEqual(run.attribute("starts"), 1, log)
                    self.assertIn("scripts/finetune.py --model", log)

    def test_what_an_earlier_start_left_is_not_taken_for_the_end_of_this_one(self) -> None:
        run = SearchRun(self.folder / "looked at late", hanging(self.search(), 10))
        self.addCleanup(run.clean_up)
        begun = run.start()
        run.wait_for_scores(5)
        begun.terminate()
        self.assertEqual(run.finish(), EXIT_STOPPED_EARLY, run.said())
        run.configure(synthetic_search(duration_ms=4 * SLOW_MILLISECONDS))
        quick = {"\npatience=60 ": "\npatience=1 ", "while sleep 30; do": "while sleep 0.1; do"}
        self.script(run, quick, LONGROPE=slow_program(run.folder, "status"))
        number = self.submit_written(run)
        self.slurm.wait_for_state(number, "COMPLETED", "FAILED")
        log = (run.folder / "log").read_text()
        self.assertNotIn("is killed", log)
        self.assertEqual(run.attribute("starts"), 2, log)
        self.assertEqual(run.state(), "complete", log)

    def test_a_launcher_that_outlives_the_search_is_not_waited_for(self) -> None:
        run = SearchRun(self.folder / "outlived", synthetic_search())
        quick = {"\npatience=60 ": "\npatience=1 ", "while sleep 30; do": "while sleep 1; do"}
        self.script(run, quick, MPIRUN=lingering_launcher(run.folder))
        number = self.submit_written(run)
        self.slurm.wait_for_state(number, "COMPLETED")
        self.assertIn("mpirun did not end within 1 s", (run.folder / "log").read_text())
        self.assertEqual(run.state(), "complete")

    def test_a_launcher_that_outlives_a_warned_search_does_not_keep_it_from_the_queue(self) -> None:
        run = SearchRun(self.folder / "kept", hanging(synthetic_search(), 40))
        quick = {"\npatience=60 ": "\npatience=1 "}
        self.script(run, quick, MPIRUN=lingering_launcher(run.folder))
        number = self.submit_written(run)
        self.slurm.wait_until(lambda: len(run.scores()) >= 20, "20 scores are stored")
        run.configure(synthetic_search())
        self.slurm.tell("scancel", "--batch", "--signal=USR1", number)
        self.slurm.wait_until(lambda: self.slurm.job(number)["Restarts"] == "1", "it is requeued")
        self.slurm.tell("scancel", number)

    def test_names_and_values_reach_slurm_as_they_are(self) -> None:
        odd = 'it\'s #1 of "100%j"'
        folder = self.folder / "odd"
        run = SearchRun(folder, synthetic_search())
        run.configure(changed(synthetic_search(), run={"directory": odd.replace('"', "")}))
        (folder / "search.toml").rename(folder / f"{odd}.toml")
        comment = f"a\\b {odd}"
        submit_script(self.slurm, f"{odd}.toml", f"--comment={comment}", folder=folder)
        number = self.slurm.ask("squeue", "-h", "-o", "%i", "--sort=-i").split()[0]
        told = self.slurm.ask("scontrol", "show", "job", number)
        self.assertIn(f"JobName=longrope-{odd}\n", told)
        self.assertIn(f"Comment={comment}", told)
        self.slurm.wait_for_state(number, "COMPLETED")
        log = folder / odd.replace('"', "") / f"slurm-{number}.log"
        self.assertIn("search.sbatch: ", log.read_text())

    # --- devices ---

    def test_every_rank_sees_the_gpus_of_its_node_and_uses_the_cores_asked_for(self) -> None:
        fast = synthetic_search()
        job = self.submit("devices", "--gpus-per-node", str(RANKS), configuration=fast)
        told = job.wait_for_end("COMPLETED")
        self.assertEqual(told["TresPerNode"], f"gres:gpu:{RANKS}")
        self.assertIn(f"{RANKS} ranks on {told['NodeList']}, devices 0,1\n", job.log())
        self.assertIn("threads = 1\n", job.run.attribute("configuration"))

    # --- out of time: last in the alphabet, as its minute passes with the other tests ---

    def test_time_that_is_up_stops_a_job_that_queues_itself_again(self) -> None:
        job = self.out_of_time
        self.assert_complete_after_a_resume(job, 20)
        self.assertRegex(
            job.log(), r"Slurm job \d+ \(restart 0\) ends at .*, in (1 min 00|[1-5]?\d) s"
        )
        self.assertRegex(
            job.log(), "stopped early, (the time limit is reached|no further task fits into)"
        )
        self.assertNotIn("SIGUSR1", job.log())
        self.assertNotIn("DUE TO TIME LIMIT", job.log())  # Slurm's own words


# Stores a checkpoint half a second after TERM, as after the step that runs; is complete from there.
TRAINING = """\
#!/bin/bash
[ ! -d tuned.training/step-000020 ] || { mkdir tuned; touch tuned/fine_tuning.json; exit 0; }
stop() { echo storing; sleep 0.5; mkdir -p tuned.training/step-000020; exit 75; }
trap stop TERM
touch begun
while :; do sleep 0.1; done
"""
# The job, as on two nodes, and its srun, on the one that there is.
TWO_NODES = """\
#!/bin/bash
export SLURM_NNODES=2 SLURM_GPUS_ON_NODE=1 PATH="$PWD:$PATH"
exec bash {script} "$@"
"""
SRUN = """\
#!/bin/bash
unset SLURM_NNODES
exec {srun} --nodes=1 --ntasks=1 "$@"
"""


@unittest.skipIf(missing(), missing())
class FinetuneJob(unittest.TestCase):
    """What finetune.sbatch makes of a warning, on one node and with a step of srun."""

    slurm: SingleNodeSlurm

    @classmethod
    def setUpClass(cls) -> None:
        cls.slurm = SingleNodeSlurm()
        cls.addClassCleanup(cls.slurm.stop)
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.folder = Path(folder.name)

    def begun(self, name: str, script: str | None = None) -> tuple[Path, str]:
        """Folder and number of a job whose training has begun."""
        folder = self.folder / name
        folder.mkdir()
        srun = shutil.which("srun")
        for program_, text in (
            ("training", TRAINING),
            ("job", script or ""),
            ("srun", SRUN.format(srun=srun)),
        ):
            (folder / program_).write_text(text)
            (folder / program_).chmod(0o755)
        job = self.slurm.submit(
            *("--output=log", "--open-mode=append", "--requeue", "--time=30", "--cpus-per-task=1"),
            f"--export=ALL,TRAINING_PYTHON={folder}/training",
            *(folder / "job" if script else FINETUNE, "--output", "tuned/"),
            folder=folder,
        )
        self.slurm.wait_until((folder / "begun").exists, f"job {job} has begun")
        return folder, job

    def assert_queued_again_and_complete(self, folder: Path, job: str) -> None:
        self.slurm.tell("scancel", "--batch", "--signal=USR1", job)
        told = self.slurm.wait_for_state(job, "COMPLETED", "FAILED")
        log = (folder / "log").read_text()
        self.assertEqual((told["JobState"], told["Restarts"]), ("COMPLETED", "1"), log)
        self.assertIn(f"queueing job {job} again, after step-000020", log)
        self.assertTrue((folder / "tuned" / "fine_tuning.json").exists(), log)

    def test_a_fine_tuning_warned_of_its_end_stores_and_queues_itself_again(self) -> None:
        self.assert_queued_again_and_complete(*self.begun("warned"))

    def test_a_step_of_several_nodes_has_the_time_to_store(self) -> None:
        script = TWO_NODES.format(script=FINETUNE)
        self.assert_queued_again_and_complete(*self.begun("step warned", script))

    def test_a_cancelled_fine_tuning_stays_cancelled(self) -> None:
        for name, script in (
            ("cancelled", None),
            ("step cancelled", TWO_NODES.format(script=FINETUNE)),
        ):
            with self.subTest(name):
                folder, job = self.begun(name, script)
                self.slurm.tell("scancel", job)
                self.slurm.wait_for_state(job, "CANCELLED")
                self.slurm.wait_until(
                    lambda log=folder / "log": "ended from outside" in log.read_text(), "it ended"
                )
                log = (folder / "log").read_text()
                self.assertIn("storing", log)
                self.assertTrue((folder / "tuned.training" / "step-000020").exists(), log)
                self.assertNotIn("queueing job", log)


if __name__ == "__main__":
    unittest.main()
