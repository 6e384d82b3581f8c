# SPDX-License-Identifier: Apache-2.0
"""One input that the program must refuse, and the searches that it is tried on.

Usage, in a table of such inputs:
    Case("no verb", EXIT_USAGE, ("usage: longrope VERB",), "name a verb", words=())
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from bad_surroundings import ordinary
from search_run import synthetic_search
from spoiled_files import Spoil, nothing

EXIT_SYSTEM = 1
EXIT_USAGE = 2
EXIT_CONFIGURATION = 3
EXIT_BAD_FILE = 4
EXIT_NOBODY_LEFT = 5
EXIT_IN_USE = 7

SEARCH = ("search", "search.toml")
EVALUATE = ("evaluate", "search.toml")
EVALUATE_MODEL = ("evaluate", "--model", "model", "--documents", "documents.h5", "--tokens", "64")
ESTIMATE = ("estimate", "search.toml", "--backend", "auto", "--precision", "bf16")
INIT = ("init", "--model", "model", "--documents", "documents.h5")

SYNTHETIC = synthetic_search(iterations=1)
MODEL = {
    **{name: keys for name, keys in SYNTHETIC.items() if name != "evaluator.synthetic"},
    "evaluator": {"backend": "cpu"},
    "model": {"path": "model"},
    "documents": {"path": "documents.h5", "search": 1, "validation": 1, "heldout": 1},
    "stage": {**SYNTHETIC["stage"], "target_tokens": 512},
}


@dataclass(frozen=True)
class Case:
    """What is wrong, what must be answered, what the user does, and how the test gets there."""

    wrong: str
    status: int
    told: tuple[str, ...]  # on stderr, in this order
    remedy: str
    spoil: Spoil = nothing
    words: tuple[str, ...] = SEARCH
    environment: dict[str, str] = field(default_factory=dict)
    surroundings: Callable[[Path], AbstractContextManager[None]] = ordinary
    checked: bool = True  # --check refuses a search in the same words
    begun: bool = False  # the history is written, for the start that failed: no score is lost
    kept: tuple[str, ...] = ()  # files that must stay as they are, as the history does


SEE_HELP = "`longrope VERB --help` lists the flags"
SEE_REFERENCE = "take a value that the message names; [configuration](configuration.md)"
AS_BEGUN = "go on as the search was begun, or take another `--run-directory`"
NEW_HISTORY = "bring back a copy of the history, or take another `--run-directory`"
NEW_MODEL = "get the model's files again"
OTHER_MODEL = "take a model that is [supported](../README.md#limits)"
NEW_DOCUMENTS = "make it with `scripts/tokenize_documents.py`"
