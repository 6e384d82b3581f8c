# SPDX-License-Identifier: Apache-2.0
"""Run directories and histories that a search must not go on with."""

from __future__ import annotations

from bad_input import (
    AS_BEGUN,
    EVALUATE,
    EXIT_BAD_FILE,
    EXIT_CONFIGURATION,
    EXIT_IN_USE,
    EXIT_SYSTEM,
    EXIT_USAGE,
    NEW_HISTORY,
    SEARCH,
    Case,
)
from bad_surroundings import (
    another_coordinator,
    full_file_system,
    no_byte_of_a_file,
    no_file_longer_than_a_log,
    read_only_run_directory,
)
from spoiled_files import (
    content,
    edit,
    flipped,
    flipped_score,
    folder_instead,
    foreign_history,
    link_to_itself,
    newer_history,
    pipe_instead,
    removed,
    replaced,
    truncated,
    value,
)

# Every one is given a run directory with a complete history.
HISTORY = [
    Case(
        "a history that is cut off",
        EXIT_BAD_FILE,
        (
            "run/search.h5: truncated: ",
            " bytes are there, expected a history (HDF5)",
            "bring back a copy of the history, or search anew in another run directory",
        ),
        NEW_HISTORY,
        truncated("run/search.h5", 0.7),
    ),
    Case(
        "an empty history",
        EXIT_BAD_FILE,
        ("run/search.h5: an empty file, expected a history (HDF5)", "bring back a copy"),
        NEW_HISTORY,
        truncated("run/search.h5", 0),
    ),
    Case(
        "a history that is text",
        EXIT_BAD_FILE,
        ("run/search.h5: not an HDF5 file, expected a history (HDF5)", "bring back a copy"),
        NEW_HISTORY,
        content("run/search.h5", b"It was the worst of times"),
    ),
    Case(
        "a folder in place of the history",
        EXIT_BAD_FILE,
        ("cannot read run/search.h5: found a folder, expected a regular file: move it away, or",),
        NEW_HISTORY,
        folder_instead("run/search.h5"),
    ),
    Case(
        "a pipe in place of the history",
        EXIT_BAD_FILE,
        ("cannot read run/search.h5: found a pipe, a socket or a device, expected a regular file",),
        NEW_HISTORY,
        pipe_instead("run/search.h5"),
    ),
    Case(
        "a history that the system does not let us read",
        EXIT_SYSTEM,
        ("cannot open run/search.h5: ", "errno"),
        "do what the system's message says",
        link_to_itself("run/search.h5"),
        words=("status", "run"),
    ),
    Case(
        "an HDF5 file of another kind",
        EXIT_BAD_FILE,
        ("run/search.h5: HDF5, but no history", "longrope-history", "bring back a copy"),
        NEW_HISTORY,
        foreign_history,
    ),
    Case(
        "a history of a newer program",
        EXIT_BAD_FILE,
        ("run/search.h5", "1000", "a newer program wrote this, use that one"),
        "take the newer program",
        newer_history,
    ),
    Case(
        "a history with a bit of a score flipped",
        EXIT_BAD_FILE,
        ("run/search.h5", "digest", "the file is damaged or was edited", "bring back a copy"),
        NEW_HISTORY,
        flipped_score,
    ),
    Case(
        "a history with a bit of its structure flipped",
        EXIT_BAD_FILE,
        ("run/search.h5: damaged: ", "bring back a copy"),
        NEW_HISTORY,
        flipped("run/search.h5", b"OHDR"),
    ),
    Case(
        "another seed",
        EXIT_BAD_FILE,
        ("run.seed: the history has 7, this configuration 8", "use another --run-directory"),
        AS_BEGUN,
        words=(*SEARCH, "--seed", "8"),
    ),
    Case(
        "another population",
        EXIT_BAD_FILE,
        ("stage.long.population: the history has 16, this configuration 20",),
        AS_BEGUN,
        replaced("population = 16", "population = 20"),
    ),
    Case(
        "fewer iterations",
        EXIT_BAD_FILE,
        ("raised, not lowered",),
        "take as many as before, or more",
        words=(*SEARCH, "--iterations", "0"),
    ),
    Case(
        "a run directory in use",
        EXIT_IN_USE,
        ("run is in use by host ", ", process ", "End that coordinator, or use another run direct"),
        "wait for the other search, or take another `--run-directory`",
        surroundings=another_coordinator,
        checked=False,
    ),
    Case(
        "a run directory that is read-only",
        EXIT_CONFIGURATION,
        ('run.directory = "run": ', "cannot be written by this user"),
        "take another `--run-directory`",
        words=(*SEARCH, "--iterations", "2"),
        surroundings=read_only_run_directory,
    ),
    Case(
        "a run directory that is full",
        EXIT_SYSTEM,
        ("cannot write run/search.h5", "No space left on device"),
        "make space; the last snapshot is as it was",
        words=(*SEARCH, "--iterations", "20"),
        surroundings=full_file_system,
        checked=False,
    ),
    Case(
        "a limit of file sizes",
        EXIT_SYSTEM,
        ("cannot write run/search.h5", "File too large"),
        "raise `ulimit -f`; the last snapshot is as it was",
        words=(*SEARCH, "--iterations", "20"),
        surroundings=no_file_longer_than_a_log,
        checked=False,
    ),
    Case(
        "a limit of file sizes that leaves nothing",
        EXIT_SYSTEM,
        ("cannot write run/lock", "File too large"),
        "raise `ulimit -f`",
        words=(*SEARCH, "--iterations", "20"),
        surroundings=no_byte_of_a_file,
        checked=False,
    ),
]

# Every one is given a run directory with a complete history of a search with a model.
MODEL_HISTORY = [
    Case(
        "another model",
        EXIT_BAD_FILE,
        ("model digest: the history has ", ", this configuration ", "use another --run-directory"),
        AS_BEGUN,
        edit("model/model.safetensors", lambda file: file[:-1] + bytes([file[-1] ^ 1])),
    ),
    Case(
        "other documents",
        EXIT_BAD_FILE,
        ("documents digest: the history has ", ", this configuration "),
        AS_BEGUN,
        value("tokens", 5, 1),
    ),
    Case(
        "another numerics class",
        EXIT_BAD_FILE,
        (
            "no worker computes like the history: it computes as",
            "the history was begun as",
            "pin evaluator.isa, or accept the mix with --allow-mixed-numerics",
        ),
        "pin `evaluator.isa`, go on where it was begun, or `--allow-mixed-numerics`",
        words=(*SEARCH, "--iterations", "1", "--backend", "reference"),
        checked=False,
        begun=True,
    ),
    *(
        Case(
            f"`{words[0]}` of a run whose {what} in the history is not there",
            EXIT_BAD_FILE,
            (f'run/search.h5 names the {what} as "{name}"', f"say with {flag} where"),
            f"give `{flag}`, or run it where the search was started",
            removed(name),
            words=words,
        )
        for what, name, flag in (
            ("model", "model", "--model"),
            ("documents", "documents.h5", "--documents"),
        )
        for words in (
            ("evaluate", "run"),
            ("export", "run", "--format", "json", "--output", "made"),
        )
    ),
]

STATUS = [
    *(
        Case(
            f"`{verb}` of a {what}",
            EXIT_USAGE,
            (f"{word}: that is {found}; longrope {verb} takes a configuration, a TOML file",),
            "name the configuration file",
            words=(verb, word),
        )
        for verb in ("search", "estimate")
        for what, word, found in (
            ("history", "run/search.h5", "an HDF5 file, such as a history or documents"),
            ("run directory", "run", "a run directory"),
        )
    ),
    Case(
        "`verify` of a folder that is missing",
        EXIT_BAD_FILE,
        ("none/search.h5 does not exist",),
        "name the run directory",
        words=("verify", "none"),
    ),
    Case(
        "`status` of a folder that is missing",
        EXIT_BAD_FILE,
        ("none/search.h5 does not exist: no search was begun in none",),
        "name the run directory",
        words=("status", "none"),
    ),
    Case(
        "`status` of a history that is cut off",
        EXIT_BAD_FILE,
        ("run/search.h5: truncated: ", "bring back a copy of the history"),
        NEW_HISTORY,
        truncated("run/search.h5", 0.7),
        ("status", "run"),
    ),
    Case(
        "`verify` of a history that is cut off",
        EXIT_BAD_FILE,
        ("run/search.h5: truncated: ", "bring back a copy of the history"),
        NEW_HISTORY,
        truncated("run/search.h5", 0.7),
        ("verify", "run"),
    ),
    Case(
        "`verify` of a history with a bit flipped",
        EXIT_BAD_FILE,
        ("run/search.h5", "the file is damaged or was edited", "bring back a copy of the history"),
        NEW_HISTORY,
        flipped_score,
        ("verify", "run"),
    ),
    Case(
        "`status` of a pipe",
        EXIT_BAD_FILE,
        ("cannot read run/search.h5: found a pipe, a socket or a device",),
        NEW_HISTORY,
        pipe_instead("run/search.h5"),
        ("status", "run"),
    ),
    Case(
        "`verify` of a pipe",
        EXIT_BAD_FILE,
        ("cannot read run/search.h5: found a pipe, a socket or a device",),
        NEW_HISTORY,
        pipe_instead("run/search.h5"),
        ("verify", "run"),
    ),
    Case(
        "`status` of a link to itself",
        EXIT_SYSTEM,
        ("cannot open loop: Too many levels of symbolic links",),
        "do what the system's message says",
        link_to_itself("loop"),
        ("status", "loop"),
    ),
    Case(
        "`verify` of a link to itself",
        EXIT_SYSTEM,
        ("cannot open run/search.h5: Too many levels of symbolic links",),
        "do what the system's message says",
        link_to_itself("run/search.h5"),
        ("verify", "run"),
    ),
    Case(
        "`status --json` of a history with a bit flipped",
        EXIT_BAD_FILE,
        ("run/search.h5", "digest"),
        NEW_HISTORY,
        flipped_score,
        ("status", "run", "--json"),
    ),
    Case(
        "`evaluate` of a run on a model with other rotary pairs",
        EXIT_USAGE,
        ('--methods searched: stage "long" has 16 factors; the model has 8 rotary pairs',),
        "evaluate the run's model, or give `--methods` without `searched`",
        words=EVALUATE,
        environment={"LONGROPE_EVALUATOR_SYNTHETIC_DIMENSIONS": "8"},
    ),
]
