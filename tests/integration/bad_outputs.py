# SPDX-License-Identifier: Apache-2.0
"""What evaluate and export must not write over: their inputs, each other's files, others' files."""

from __future__ import annotations

from bad_input import EVALUATE, EVALUATE_MODEL, EXIT_SYSTEM, EXIT_USAGE, Case
from bad_surroundings import no_file_longer_than_a_log
from spoiled_files import content

FACTORS = content("factors.csv", b"1\n" * 16)
OWN = content("own.csv", b"mine\n")
EXPORT_FILE = ("export", "run", "--drop-start-tokens", "--format", "csv", "--force", "--output")
IMPORT = ("export", "--model", "model", "--factors", "factors.csv", "--target-tokens", "512")
IMPORT_FILE = (
    *IMPORT,
    *("--documents", "documents.h5", "--format", "json", "--force", "--output"),
)
ANOTHER_NAME = "give another name"

# Every one is given a model and its documents.
OUTPUTS = [
    *(
        Case(
            f"`{flag}` onto the documents",
            EXIT_USAGE,
            (f"{flag} documents.h5: that is the documents file documents.h5: give another name",),
            ANOTHER_NAME,
            words=(*EVALUATE_MODEL, flag, "documents.h5", "--force"),
            kept=("documents.h5",),
        )
        for flag in ("--csv", "--hdf5", "--per-token")
    ),
    Case(
        "`--hdf5` onto the documents by another path",
        EXIT_USAGE,
        ("--hdf5 model/../documents.h5: that is the documents file documents.h5",),
        ANOTHER_NAME,
        words=(*EVALUATE_MODEL, "--hdf5", "model/../documents.h5", "--force"),
        kept=("documents.h5",),
    ),
    Case(
        "`--csv` onto a file of the model",
        EXIT_USAGE,
        ("--csv model/config.json: that is the model's model/config.json",),
        ANOTHER_NAME,
        words=(*EVALUATE_MODEL, "--csv", "model/config.json", "--force"),
        kept=("model/config.json",),
    ),
    Case(
        "`--csv` onto the factors",
        EXIT_USAGE,
        ("--csv factors.csv: that is --factors factors.csv",),
        ANOTHER_NAME,
        FACTORS,
        (*EVALUATE_MODEL, "--factors", "factors.csv", "--csv", "factors.csv", "--force"),
        kept=("factors.csv",),
    ),
    *(
        Case(
            f"`{flag}` onto a file that is there",
            EXIT_USAGE,
            (f"{flag} own.csv: it exists already; --force replaces it",),
            "give another name, or `--force`",
            OWN,
            (*EVALUATE_MODEL, flag, "own.csv"),
            kept=("own.csv",),
        )
        for flag in ("--csv", "--hdf5", "--per-token")
    ),
    Case(
        "one file for two outputs",
        EXIT_USAGE,
        ("--hdf5 ./x: that is --csv x: give another name",),
        ANOTHER_NAME,
        words=(*EVALUATE_MODEL, "--hdf5", "./x", "--csv", "x"),
    ),
    Case(
        "one file for three outputs",
        EXIT_USAGE,
        ("--per-token x: that is --csv x: give another name",),
        ANOTHER_NAME,
        words=(*EVALUATE_MODEL, "--hdf5", "y", "--csv", "x", "--per-token", "x", "--force"),
    ),
    Case(
        "an output that is no file",
        EXIT_USAGE,
        ("--hdf5 /dev/full: it is no regular file, expected a file to write",),
        "name a file",
        words=(*EVALUATE_MODEL, "--hdf5", "/dev/full", "--force"),
    ),
    Case(
        "an output without a name",
        EXIT_USAGE,
        ("--csv : the name is empty",),
        "name a file",
        words=(*EVALUATE_MODEL, "--csv", ""),
    ),
    Case(
        "an output that is meant for stdout",
        EXIT_USAGE,
        ("--csv -: standard output has the report; name a file",),
        "name a file",
        words=(*EVALUATE_MODEL, "--csv", "-"),
    ),
    Case(
        "an export onto the factors",
        EXIT_USAGE,
        ("--output factors.csv: that is --factors factors.csv",),
        ANOTHER_NAME,
        FACTORS,
        (*IMPORT_FILE, "factors.csv"),
        kept=("factors.csv",),
    ),
    Case(
        "an export onto the documents",
        EXIT_USAGE,
        ("--output documents.h5: that is the documents file documents.h5",),
        ANOTHER_NAME,
        FACTORS,
        (*IMPORT_FILE, "documents.h5"),
        kept=("documents.h5",),
    ),
    Case(
        "an export onto a file of the model",
        EXIT_USAGE,
        ("--output model/config.json: that is the model's model/config.json",),
        ANOTHER_NAME,
        FACTORS,
        (*IMPORT_FILE, "model/config.json"),
        kept=("model/config.json",),
    ),
    Case(
        "`export --copy` where the weights do not fit",
        EXIT_SYSTEM,
        ("cannot write made/", ": File too large (errno 27)"),
        "do what the system's message says",
        FACTORS,
        (*IMPORT, "--copy", "--output", "made"),
        surroundings=no_file_longer_than_a_log,
    ),
]

# Every one is given a run directory with a complete search.
RUN_OUTPUTS = [
    Case(
        "`--hdf5` onto the history",
        EXIT_USAGE,
        ("--hdf5 run/search.h5: that is the history run/search.h5",),
        ANOTHER_NAME,
        words=(*EVALUATE, "--hdf5", "run/search.h5", "--force"),
    ),
    Case(
        "`--csv` onto the log",
        EXIT_USAGE,
        ("--csv run/log.txt: that is the run's run/log.txt",),
        ANOTHER_NAME,
        words=(*EVALUATE, "--csv", "run/log.txt", "--force"),
        kept=("run/log.txt",),
    ),
    Case(
        "`--csv` onto the configuration",
        EXIT_USAGE,
        ("--csv run/../search.toml: that is the configuration search.toml",),
        ANOTHER_NAME,
        words=(*EVALUATE, "--csv", "run/../search.toml", "--force"),
        kept=("search.toml",),
    ),
    Case(
        "an export onto the history",
        EXIT_USAGE,
        ("--output run/search.h5: that is the history run/search.h5",),
        ANOTHER_NAME,
        words=(*EXPORT_FILE, "run/search.h5"),
    ),
    Case(
        "an export onto the configuration",
        EXIT_USAGE,
        ("--output search.toml: that is the configuration search.toml",),
        ANOTHER_NAME,
        words=("export", "search.toml", *EXPORT_FILE[2:], "search.toml"),
        kept=("search.toml",),
    ),
]
