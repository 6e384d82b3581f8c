# SPDX-License-Identifier: Apache-2.0
"""What README and docs say is there, is there: links, files, flags, commands.

Usage: PROGRAM=build/release/longrope \
       python tests/run_python_test.py tests/structure/documents_test.py
"""

import os
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(
    page
    for folder in ("", "docs", "models", "coordinator", "scripts", "tests/fixtures")
    for page in (ROOT / folder).glob("*.md" if folder in ("", "docs") else "**/*.md")
)
README = (ROOT / "README.md").read_text(encoding="utf-8")


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def documented_calls() -> list[list[str]]:
    """The words after the program's name, of each line in README that runs it."""
    lines = "\n".join(code_blocks(README, "bash")).splitlines()
    calls = [re.search(r"(?:\$longrope|release/longrope) (\w[^#&|]*)", line) for line in lines]
    return [call[1].split() for call in calls if call]


class Documents(unittest.TestCase):
    def test_links_lead_somewhere(self) -> None:
        self.assertGreater(len(PAGES), 3)
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
                if "://" not in target:
                    with self.subTest(page=page.relative_to(ROOT).as_posix(), target=target):
                        self.assertTrue((page.parent / target).exists())

    def test_files_named_in_readme_and_changelog_exist(self) -> None:
        text = README + (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
        names = set(re.findall(r"\b((?:scripts|configs|docs|coordinator)/[\w./-]*\w)", text))
        self.assertIn("scripts/quickstart.sh", names)
        for name in names - {"configs/my-model.toml"}:
            with self.subTest(name=name):
                self.assertTrue((ROOT / name).exists())

    def test_scripts_in_readme_parse(self) -> None:
        for block in code_blocks(README, "bash"):
            subprocess.run(["bash", "-n"], input=block, text=True, check=True)
        for block in code_blocks(README, "python"):
            compile(block, "README.md", "exec")


class Program(unittest.TestCase):
    def run_program(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [os.environ["PROGRAM"], *words], cwd=ROOT, text=True, capture_output=True, timeout=60
        )

    def test_documented_flags_are_known(self) -> None:
        calls = documented_calls()
        self.assertGreater(len(calls), 4)
        for verb, *words in calls:
            known = self.run_program(verb, "--help").stdout
            for flag in (word for word in words if word.startswith("--")):
                with self.subTest(verb=verb, flag=flag):
                    self.assertRegex(known, rf"{flag}\b")

    def test_documented_exit_codes_are_those_of_the_help(self) -> None:
        table = README.partition("### Exit status")[2].partition("\n## ")[0]
        documented = set(re.findall(r"^\| (\d+) \|", table, re.MULTILINE))
        shown = self.run_program("--help").stdout.partition("exit status:")[2]
        self.assertEqual(documented, set(re.findall(r"\b(\d+) [a-z]", shown)))

    def test_documented_commands_that_are_quick_run(self) -> None:
        self.assertIn(["devices"], documented_calls())
        self.assertEqual(self.run_program("devices").returncode, 0)
        self.assertIn("search --check configs/demo.toml".split(), documented_calls())
        if not (ROOT / "documents" / "demo.h5").exists():
            self.skipTest("scripts/prepare_demo.py has not made documents/demo.h5")
        check = "search --check configs/demo.toml --run-directory runs/none"
        done = self.run_program(*check.split())
        self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
