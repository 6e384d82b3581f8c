# SPDX-License-Identifier: Apache-2.0
"""Inputs that the program must refuse: what is wrong with them, what is answered, and what to do.

Usage: python tests/integration/bad_inputs.py --markdown > docs/errors.md

errors_test.py tries every row of the tables, and checks that docs/errors.md is made from them.
"""

from __future__ import annotations

import argparse
import json
import sys

from bad_command_lines import ESTIMATION, EVALUATION, INITIAL, USAGE
from bad_configurations import CONFIGURATION
from bad_documents import DOCUMENTS
from bad_exports import EXPORTS, IMPORTS
from bad_histories import HISTORY, MODEL_HISTORY, STATUS
from bad_input import (
    EXIT_BAD_FILE,
    EXIT_CONFIGURATION,
    EXIT_IN_USE,
    EXIT_NOBODY_LEFT,
    EXIT_SYSTEM,
    EXIT_USAGE,
)
from bad_models import MODEL_FILES
from bad_outputs import OUTPUTS, RUN_OUTPUTS

SECTIONS = {
    "Command line": USAGE,
    "Configuration": CONFIGURATION,
    "Model": MODEL_FILES,
    "Documents": DOCUMENTS,
    "Run directory and history": HISTORY + MODEL_HISTORY + STATUS,
    "Files to write": OUTPUTS + RUN_OUTPUTS,
    "longrope evaluate": EVALUATION,
    "longrope estimate": ESTIMATION,
    "longrope export": IMPORTS + EXPORTS,
    "longrope init": INITIAL,
}

EXIT_CODES = {
    0: "done",
    EXIT_SYSTEM: "internal or system error: the message has the system's reason",
    EXIT_USAGE: "usage: a verb, flag or argument",
    EXIT_CONFIGURATION: "configuration: a setting, from wherever it comes",
    EXIT_BAD_FILE: "damaged or mismatching history, model or documents",
    EXIT_NOBODY_LEFT: "no worker, no parents or no child left",
    6: "waiting: the model of a stage does not exist yet",
    EXIT_IN_USE: "run directory in use",
    75: "stopped early: run the same command again",
    130: "second SIGINT",
}


def markdown() -> str:
    """The text of docs/errors.md."""

    def cells(*texts: object) -> str:
        return "| " + " | ".join(str(text).replace("|", "\\|") for text in texts) + " |"

    lines = [
        "# Errors",
        "",
        "<!-- Made from the tables of tests/integration/bad_*.py; change them, then run",
        "     .venv/bin/python tests/integration/bad_inputs.py --markdown > docs/errors.md -->",
        "",
        "What `longrope` answers to bad input. Messages go to stderr, and stdout stays empty. No",
        "score of a history is lost, and one that is refused is left as it is, byte for byte. What",
        "a search would refuse, `longrope search --check` refuses too, before it is computed.",
        "",
        "A test tries every row of these tables. A message is shown by the parts that the test",
        "looks for, with `…` for the rest.",
        "",
        "| exit status | meaning |",
        "|---|---|",
        *(cells(code, meaning) for code, meaning in EXIT_CODES.items()),
    ]
    for title, cases in SECTIONS.items():
        lines += ["", f"## {title}", "", cells("input", "exit", "message", "what to do")]
        lines.append("|---|---|---|---|")
        for case in cases:
            told = " … ".join(part.strip() for part in case.told)
            lines.append(cells(case.wrong, case.status, f"`{told}`", case.remedy))
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markdown", action="store_true", help="print docs/errors.md")
    if not parser.parse_args().markdown:
        json.dump({title: len(cases) for title, cases in SECTIONS.items()}, sys.stdout)
        print()
        return 0
    sys.stdout.write(markdown())
    return 0


if __name__ == "__main__":
    sys.exit(main())
