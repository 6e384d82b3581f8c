# SPDX-License-Identifier: Apache-2.0
"""Checks that a campaign waits for models, goes on when they are there, and can be killed anywhere.

Usage: python tests/run_python_test.py tests/integration/campaign_test.py
"""

from __future__ import annotations

import json
import tempfile
import unittest
from pathlib import Path

import h5py
from search_run import (
    EXIT_WAITING,
    SearchRun,
    assert_same_search,
    changed,
    needs_mpirun,
    run_program,
    synthetic_search,
    to_toml,
)

EXIT_BAD_FILE = 4
NO = 1  # of `status --should-requeue`

SIZES = {"population": 12, "parents": 6, "mutations": 5, "crossovers": 5, "iterations": 2}
LATER_STAGES = {
    "longer": {"target_tokens": 8192, "base": "long", "model": "tuned", "finetune": "tune.toml"},
    "short": {"target_tokens": 256, "base": "long", "model": "tuned", "kind": "recovery"},
    "both": {"target_tokens": 2048, "objective": "256 = 1, 2048 = 1"},
}


class CampaignRun(SearchRun):
    """A run of four stages; the tuned model is the folder "tuned"."""

    def configure(self, configuration: dict) -> None:
        text = to_toml(changed(configuration, stage=SIZES))
        for name, keys in LATER_STAGES.items():
            stage = to_toml({"stage": {"name": name, **SIZES, **keys}})
            text += stage.replace('"256 = 1, 2048 = 1"', '{ "256" = 1, "2048" = 1 }')
        (self.folder / "search.toml").write_text(text)

    def make_model(self, content: str = "{}") -> None:
        (self.folder / "tuned").mkdir(exist_ok=True)
        (self.folder / "tuned" / "config.json").write_text(content)


class Campaign(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def new_run(self, name: str, ranks: int = 1, **synthetic: object) -> CampaignRun:
        run = CampaignRun(self.folder / name, synthetic_search(**synthetic), ranks)
        self.addCleanup(run.clean_up)
        return run

    def finished(self) -> CampaignRun:
        """A campaign that was never interrupted: its model is there from the start."""
        run = self.new_run("uninterrupted")
        run.make_model()
        run.complete()
        return run

    def program(self, run: CampaignRun, *words: str) -> tuple[int, str]:
        done = run_program(*words, folder=run.folder)
        return done.returncode, done.stdout + done.stderr

    def test_a_campaign_waits_for_its_model_and_goes_on_to_the_same_end(self) -> None:
        run = self.new_run("waiting")
        command = (
            ".venv/bin/python scripts/finetune.py --model '' --history run/search.h5 --stage long "
            "--output tuned --config tune.toml"
        )
        status, said = self.program(run, "search", "--check", "search.toml")
        self.assertEqual(status, 0, said)
        self.assertIn("Its model tuned does not exist yet", said)

        for _ in range(2):  # a start that can only wait changes nothing
            self.assertEqual(run.run(), EXIT_WAITING, run.said())
            self.assertEqual(run.state(), "waiting")
            lines = [line.strip() for line in run.said().splitlines() if "finetune.py" in line]
            self.assertEqual(lines, [command])
            self.assertEqual(run.attribute("starts"), 1)
        status, said = self.program(run, "status", "run")
        self.assertIn('stage "longer" waits for its model', said)
        self.assertIn("scripts/finetune.py", said)
        self.assertEqual(self.program(run, "status", "--should-requeue", "run")[0], NO)
        report = json.loads(self.program(run, "status", "--json", "run")[1])
        self.assertEqual(report["state"], "waiting")
        self.assertEqual(report["waiting_for"]["stage"], "longer")
        self.assertEqual([stage["name"] for stage in report["stages"]], ["long"])
        self.assertEqual([stage["name"] for stage in report["stages_to_come"]], [*LATER_STAGES])
        self.assertEqual(self.program(run, "verify", "run")[0], 0)
        words = ("evaluate", "search.toml", "--stage", "longer", "--methods", "none")
        evaluated, said = self.program(run, *words)
        self.assertEqual(evaluated, EXIT_WAITING, said)
        self.assertIn('longrope: Stage "longer" waits for its model: tuned has no', said)
        self.assertIn(f"Make it with\n  {command}\n", said)

        run.make_model()
        status, said = self.program(run, "status", "run")
        arrived = 'stage "longer" waited for its model tuned, which is there now: start the same'
        self.assertIn(f"waiting: {arrived} command again\n", said)
        self.assertNotIn("finetune.py", said)
        report = json.loads(self.program(run, "status", "--json", "run")[1])
        self.assertEqual(report["state"], "waiting")
        self.assertIn(arrived, report["reason"])
        self.assertIs(report["waiting_for"]["model_is_there"], True)
        run.complete()
        reference = self.finished()
        places = {"/@state_reason", "/@program_commit"}
        assert_same_search(self, run.content(), reference.content(), places)
        status, said = self.program(run, "verify", "run")
        self.assertEqual(status, 0, said)
        for name in ("long", *LATER_STAGES):
            self.assertIn(f'stage "{name}"', said)
        with h5py.File(run.history) as file:
            digests = {name: stage.attrs["model_digest"] for name, stage in file["stages"].items()}
            self.assertEqual(digests["longer"], digests["short"])
            self.assertEqual(digests["long"], digests["both"])
            self.assertNotEqual(digests["long"], digests["longer"])
            self.assertEqual(file["stages/longer/base"].attrs["stage"], b"long")

    def test_without_the_stage_it_waited_for_a_search_is_complete(self) -> None:
        run = self.new_run("shortened")
        self.assertEqual(run.run(), EXIT_WAITING, run.said())
        configuration = run.folder / "search.toml"
        first, stage, *_ = configuration.read_text().split("[[stage]]")
        configuration.write_text(f"{first}[[stage]]{stage}")
        run.complete()
        self.assertEqual(run.state(), "complete")
        self.assertNotIn("waits", self.program(run, "status", "run")[1])
        self.assertEqual(self.program(run, "verify", "run")[0], 0)

    def test_a_campaign_killed_in_every_stage_ends_as_it_would_have_ended(self) -> None:
        reference = self.finished()
        expected = reference.scores()
        # Each evaluator process hangs after so many tasks, so that no job comes to the end before
        # it is killed, and all stages and the ways between them are met.
        tasks = 60
        run = self.new_run("killed", fault="hang", fault_every=tasks + 1)
        run.make_model()
        left = 0
        while left + 2 * tasks < len(expected):
            run.start()
            seen = run.wait_for_scores(left + tasks // 2)
            run.kill_job()
            stored = run.scores()
            self.assertLessEqual(seen.items(), stored.items(), "a stored score is lost")
            self.assertLessEqual(stored.items(), expected.items())
            left = len(stored)
        run.configure(synthetic_search())
        run.complete()
        assert_same_search(self, run.content(), reference.content())

    @needs_mpirun()
    def test_ranks_change_their_model_together_and_find_the_same(self) -> None:
        reference = self.finished()
        run = self.new_run("ranks", ranks=3)
        run.run()
        self.assertEqual(run.state(), "waiting")
        run.make_model()
        run.complete()
        assert_same_search(self, run.content(), reference.content(), {"/@hosts"})
        self.assertIn('stage "longer"', run.said())

    def test_other_weights_are_refused(self) -> None:
        run = self.new_run("weights")
        run.make_model()
        run.complete()
        (run.folder / "tuned").rename(run.folder / "moved")
        evaluated, said = self.program(run, "evaluate", "run", "--stage", "longer")
        self.assertEqual(evaluated, EXIT_BAD_FILE, said)
        self.assertIn('tuned has no config.json, and stage "longer" began with this model', said)
        run.make_model('{"other": "weights"}')
        self.assertEqual(run.run(), EXIT_BAD_FILE)
        self.assertIn('model digest of stage "longer"', run.said())

    def test_ones_beside_the_list_of_tuned_weights_are_told(self) -> None:
        run = self.new_run("ones")
        configuration = synthetic_search()
        configuration["evaluator"]["attention_scale"] = "none"  # one for all stages
        run.configure(configuration)
        run.make_model()
        run.complete()
        told = 'for weights that were not tuned, and stage "longer" has weights of its own: --short'
        for stage, flags, expected in (
            ("long", ("--format", "json"), False),
            ("longer", ("--format", "json"), True),
            ("longer", ("--format", "csv"), False),
            ("longer", ("--format", "json", "--short-stage", "short"), False),
            ("short", ("--format", "json"), False),
        ):
            with self.subTest(stage=stage, flags=flags):
                words = ("export", "run", "--stage", stage, *flags, "--output", "made", "--force")
                said = run_program(*words, folder=run.folder).stderr  # start tokens or not
                self.assertEqual(told in said, expected, said)
                self.assertEqual("of a recovery stage on them; here: short\n" in said, expected)

    def test_the_searched_factors_of_each_stage_are_evaluated_with_its_weights(self) -> None:
        run = self.finished()
        for name in ("longer", "short"):
            done = run_program(
                *("evaluate", "search.toml", "--stage", name, "--methods", "base,searched"),
                *("--json", "--tokens", "256"),
                folder=run.folder,
            )
            self.assertNotEqual(done.returncode, 0)  # "base" is no method of evaluate
            done = run_program(
                *("evaluate", "search.toml", "--stage", name, "--methods", "none,searched"),
                "--json",
                folder=run.folder,
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            with h5py.File(run.history) as file:
                stage = file["stages"][name]
                row = [
                    entry
                    for entry in report["results"]
                    if entry["method"] == "searched"
                    and entry["tokens"] == int(stage.attrs["target_tokens"])
                ][0]
                self.assertEqual(row["factors"], stage["best/factors"][:].tolist())
                self.assertEqual(row["attention_scale"], stage.attrs["attention_scale"])
                sums = [document["sum_nll"] for document in row["documents"]]
                held = stage["heldout/document_nll"][-1].tolist()
                self.assertEqual([each for each in sums if each in held], held)


if __name__ == "__main__":
    unittest.main()
