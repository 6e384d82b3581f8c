# SPDX-License-Identifier: Apache-2.0
"""What must not be exported, and what no format can say."""

from __future__ import annotations

import json

from bad_input import EXIT_BAD_FILE, EXIT_USAGE, Case
from spoiled_files import content

IMPORT = ("export", "--model", "model", "--output", "made")
FACTORS = content("factors.csv", b"1\n" * 15 + b"8\n")


def native(**spoiled: object) -> bytes:
    """What `--format json` writes, in part, with keys of another value."""
    factors = {"lambda_long": [1] * 15 + [8], "original_window": 256, "target_tokens": 512}
    return json.dumps(factors | spoiled).encode()


# What is wrong, key and value, the message, what to do.
NOT_MEANT = (
    (
        "a file of another format",
        *("format", "foo", 'format is "foo", expected "longrope-factors"'),
        "take what `--format json` wrote",
    ),
    (
        "a file of a later version",
        *("format_version", 99, "format_version is 99, expected 1"),
        "write it with this version of the program",
    ),
    (
        "factors for another RoPE base",
        *("theta", 500000, "theta is 500000, expected 10000, the rope_theta of the model"),
        "take the factors of this model",
    ),
    (
        "factors for another rotary dimension",
        *("rotary_dim", 64, "rotary_dim is 64, expected 32, the rotary dimension of the model"),
        "take the factors of this model",
    ),
    (
        "multipliers of other factors",
        *("relative_to", "256k", 'relative_to is "256k", expected null'),
        "multiply them with the factors that they are relative to",
    ),
    (
        "an attention scale that cannot be meant",
        *("attention_scale", 1e9, "attention_scale is 1E9, expected a number of 0.01 to 100"),
        "correct it",
    ),
)

# What a file says of factors that are given as the short list of an export to 512 tokens.
SHORT_LISTS = (
    (
        "a short list for long texts",
        {"target_tokens": 1024},
        "it is for 1024 tokens, and the short list is for at most the original window of 256",
        "take factors for short texts",
    ),
    (
        "a short list of another window",
        {"original_window": 128},
        "its original window has 128 tokens, that of the long list 256: both must have the same",
        "take factors of the same model",
    ),
    (
        "a short list with another attention scale",
        {"attention_scale": 1.5},
        "its attention scale is 1.500000, that of the long list 1.06",
        "search both with one scale, or say it with `--attention-scale`",
    ),
    (
        "a short list with start tokens",
        {"n_hat": 4},
        "short.json: 4 start tokens, which no engine's format has",
        "`--drop-start-tokens`, and documents to score it on",
    ),
)

# Every one is given a model of 16 rotary pairs, and documents that fill 601 positions.
IMPORTS = [
    Case(
        "`export` of nothing",
        EXIT_USAGE,
        ("longrope export needs a run, or --model and --factors",),
        "name a run or a file of factors",
        words=("export", "--output", "made"),
    ),
    Case(
        "`export` to nowhere",
        EXIT_USAGE,
        ("longrope export needs --output",),
        "say where to",
        words=("export", "run"),
    ),
    Case(
        "an unknown format",
        EXIT_USAGE,
        ("--format safetensors: expected hf, vllm, gguf, csv or json",),
        "take one of them",
        words=(*IMPORT, "--format", "safetensors"),
    ),
    Case(
        "GGUF, which a script writes",
        EXIT_USAGE,
        ("--format gguf: scripts/export_gguf.py writes GGUF files, from a folder that --format",),
        "do as the message says",
        words=(*IMPORT, "--format", "gguf"),
    ),
    Case(
        "a file's name without its format",
        EXIT_USAGE,
        ("--output made.csv: without --format a folder is written; --format csv for such a file",),
        "do as the message says",
        words=(*IMPORT[:-1], "made.csv", "--factors", "factors.csv"),
    ),
    Case(
        "an output in a folder that is missing",
        EXIT_USAGE,
        ("--output none/made: the folder none does not exist",),
        "make the folder first",
        FACTORS,
        words=(*IMPORT[:-1], "none/made", "--factors", "factors.csv"),
    ),
    Case(
        "an export onto a folder that is there",
        EXIT_USAGE,
        ("--output model: it exists already; a folder is written anew",),
        "give another name",
        FACTORS,
        words=(*IMPORT[:-1], "model", "--factors", "factors.csv"),
    ),
    Case(
        "an export onto a file that is there",
        EXIT_USAGE,
        ("--output factors.csv: it exists already; --force replaces it",),
        "give another name, or `--force`",
        FACTORS,
        words=(*IMPORT[:-1], "factors.csv", "--format", "csv", "--factors", "factors.csv"),
    ),
    *(
        Case(
            wrong,
            EXIT_USAGE,
            (message,),
            remedy,
            lambda folder, said=said: (
                FACTORS(folder),
                content("short.json", native(**{"target_tokens": 256, **said}))(folder),
            )[0],
            words=(
                *(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512"),
                *("--short-factors", "short.json"),
            ),
        )
        for wrong, said, message, remedy in SHORT_LISTS
    ),
    Case(
        "a run and a file of factors",
        EXIT_USAGE,
        ("--factors: take a run or a file of factors, not both",),
        "leave out one of them",
        FACTORS,
        words=(*IMPORT, "run", "--factors", "factors.csv"),
    ),
    Case(
        "imported factors without the length that they are for",
        EXIT_USAGE,
        ("--target-tokens is missing: the file does not say it",),
        "add it",
        FACTORS,
        words=(*IMPORT, "--factors", "factors.csv"),
    ),
    Case(
        "factors for no more than the original window",
        EXIT_USAGE,
        (
            "factors.csv: it is for 256 tokens, and the original window has 256",
            "Give it as --short-factors beside another, or by itself to --format csv or json",
        ),
        "give factors for more as `--factors`, these as `--short-factors`",
        FACTORS,
        words=(*IMPORT, "--factors", "factors.csv", "--target-tokens", "256"),
    ),
    Case(
        "imported factors of another model",
        EXIT_USAGE,
        ("--factors factors.csv: 2 factors; the model has 16 rotary pairs",),
        "take the factors of this model",
        content("factors.csv", b"1\n2\n"),
        words=(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512"),
    ),
    *(
        Case(
            wrong,
            EXIT_USAGE,
            (f"--factors factors.json: {told}",),
            remedy,
            content("factors.json", native(**{key: value})),
            words=(*IMPORT, "--factors", "factors.json"),
        )
        for wrong, key, value, told, remedy in NOT_MEANT
    ),
    Case(
        "a factor that cannot be meant",
        EXIT_USAGE,
        ("--factors factors.csv:2: found 0.001, expected a rescale factor of 0.5 to 1e9",),
        "factors divide frequencies: write 8 where a pair turns eight times as slowly",
        content("factors.csv", b"1\n0.001\n"),
        words=(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512"),
    ),
    Case(
        "a folder to write a file to",
        EXIT_USAGE,
        ("--output made/: it is a folder, expected a file to write",),
        "leave out the slash, or take `--format hf`",
        FACTORS,
        words=(*IMPORT[:-1], "made/", "--format", "csv", "--factors", "factors.csv"),
    ),
    Case(
        "start tokens, which no engine knows",
        EXIT_USAGE,
        ("factors.csv: 4 start tokens, which no engine's format has; --drop-start-tokens",),
        "`--drop-start-tokens`, or `--format json`",
        FACTORS,
        words=(
            *(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512"),
            *("--start-tokens", "4"),
        ),
    ),
    Case(
        "start tokens dropped unseen",
        EXIT_USAGE,
        ("the list must be scored again; leave out --no-verify",),
        "leave out `--no-verify`",
        FACTORS,
        words=(
            *(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512"),
            *("--start-tokens", "4", "--drop-start-tokens", "--no-verify"),
            *("--documents", "documents.h5"),
        ),
    ),
    Case(
        "start tokens dropped without documents to score on",
        EXIT_USAGE,
        (
            "--drop-start-tokens: without start tokens the list must be scored again",
            "name documents to score it on with --documents",
        ),
        "add `--documents`",
        FACTORS,
        words=(
            *(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512"),
            *("--start-tokens", "4", "--drop-start-tokens"),
        ),
    ),
    Case(
        "two lists into one file of CSV",
        EXIT_USAGE,
        ("--format csv: a file holds one list; leave out the short one",),
        "export them one by one",
        FACTORS,
        words=(
            *(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512"),
            *("--short-factors", "factors.csv", "--format", "csv"),
        ),
    ),
    Case(
        "documents shorter than the length to export for",
        EXIT_USAGE,
        ("--documents: document 1 (", "fills only 601 of 1024 positions"),
        "take longer documents, or none",
        FACTORS,
        words=(
            *(*IMPORT, "--factors", "factors.csv", "--target-tokens", "1024"),
            *("--documents", "documents.h5"),
        ),
    ),
    *(
        Case(
            f"`{words[0]}` with imported factors{where}",
            EXIT_USAGE,
            (message,),
            remedy,
            FACTORS,
            words=(*IMPORT, "--factors", "factors.csv", "--target-tokens", "512", *words),
        )
        for words, where, message, remedy in (
            (("--run-directory", "run"), "", "--run-directory goes with a run", "leave it out"),
            (("--stage", "long"), "", "--stage goes with a run", "leave it out"),
            (
                ("--limit", "0"),
                " and no documents",
                "--limit says what is scored, and nothing is: it goes with --documents",
                "add `--documents`",
            ),
            (
                ("--split", "validation"),
                " and no documents",
                "--split says what is scored, and nothing is: it goes with --documents",
                "add `--documents`",
            ),
            (
                ("--split", "validation", "--documents", "documents.h5", "--no-verify"),
                ", unseen",
                "--split says what is scored, and nothing is: leave out --no-verify",
                "leave out one of them",
            ),
        )
    ),
    Case(
        "a model folder that is missing",
        EXIT_BAD_FILE,
        ("none/config.json",),
        "correct the path",
        FACTORS,
        words=("export", "--model", "none", "--output", "made", "--factors", "factors.csv"),
    ),
]

# Every one is given a run directory with a complete search on the synthetic landscape.
EXPORT = ("export", "run", "--output", "made")
EXPORTS = [
    Case(
        "`export` of a run that is missing",
        EXIT_BAD_FILE,
        ("none/search.h5 does not exist: no search was begun in none",),
        "name the run directory",
        words=("export", "none", "--output", "made"),
    ),
    Case(
        "a stage that the history has not",
        EXIT_USAGE,
        ("--stage none: the history has no such stage; it has long",),
        "take one of them",
        words=(*EXPORT, "--stage", "none"),
    ),
    Case(
        "an individual that the stage has not",
        EXIT_USAGE,
        ('--individual 9999: stage "long" has individuals 0 to ',),
        "take one that `status` or the history names",
        words=(*EXPORT, "--individual", "9999"),
    ),
    Case(
        "an individual that is no number",
        EXIT_USAGE,
        ('--individual: found "best", expected an integer of 0 to',),
        "give its number, from 0",
        words=(*EXPORT, "--individual", "best"),
    ),
    Case(
        "a short stage that the history has not",
        EXIT_USAGE,
        ("--short-stage none: the history has no such stage; it has long",),
        "take one of them",
        words=(*EXPORT, "--short-stage", "none"),
    ),
    Case(
        "a short stage for long texts",
        EXIT_USAGE,
        ("--short-stage long: it is for 2048 tokens, and engines take the long list above",),
        "take a stage for at most the original window",
        words=(*EXPORT, "--short-stage", "long"),
    ),
    Case(
        "a folder without a model",
        EXIT_USAGE,
        ("--format hf: the synthetic backend has no model folder",),
        "take `--format csv` or `json`",
        words=(*EXPORT, "--drop-start-tokens"),
    ),
    Case(
        "documents to score on, and nothing is scored",
        EXIT_USAGE,
        ("--limit says what is scored, and nothing is: leave out --no-verify",),
        "leave out one of them",
        words=(*EXPORT, "--format", "json", "--limit", "3", "--no-verify"),
    ),
    Case(
        "a length that the run decides",
        EXIT_USAGE,
        ("--target-tokens goes with --factors: a run's history has its own",),
        "leave it out",
        words=(*EXPORT, "--target-tokens", "4096"),
    ),
    Case(
        "no documents to score on",
        EXIT_USAGE,
        ("--limit 0: at least 1 document",),
        "leave `--limit` out for all",
        words=(*EXPORT, "--format", "json", "--limit", "0"),
    ),
]
