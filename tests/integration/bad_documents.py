# SPDX-License-Identifier: Apache-2.0
"""Documents files that must be refused, and what does not fit good ones."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy
from bad_input import (
    EVALUATE_MODEL,
    EXIT_BAD_FILE,
    EXIT_CONFIGURATION,
    EXIT_USAGE,
    NEW_DOCUMENTS,
    SEE_REFERENCE,
    Case,
)
from spoiled_files import (
    attribute,
    content,
    documents,
    flipped_token,
    folder_instead,
    link_to_itself,
    pipe_instead,
    removed,
    replaced,
    truncated,
    value,
    values,
)

CRASHING_DOCUMENTS = (
    Path(__file__).resolve().parents[1] / "fuzz" / "corpus" / "documents" / "chunk_size.damaged"
)

DOCUMENTS = [
    Case(
        "a documents file that is missing",
        EXIT_BAD_FILE,
        (
            "documents.h5: no such file, expected a documents file (HDF5): "
            "make it with scripts/tokenize_documents.py",
        ),
        "correct `documents.path`, or make the file",
        removed("documents.h5"),
    ),
    Case(
        "an empty documents file",
        EXIT_BAD_FILE,
        ("documents.h5: an empty file, expected a documents file (HDF5): make it with",),
        NEW_DOCUMENTS,
        content("documents.h5", b""),
    ),
    Case(
        "a documents file that is text",
        EXIT_BAD_FILE,
        ("documents.h5: not an HDF5 file, expected a documents file (HDF5): make it with",),
        NEW_DOCUMENTS,
        content("documents.h5", b"It was the best of times"),
    ),
    Case(
        "a folder in place of the documents file",
        EXIT_BAD_FILE,
        ("documents.h5: a folder, expected a documents file (HDF5)",),
        "name the file",
        folder_instead("documents.h5"),
    ),
    Case(
        "a pipe in place of the documents file",
        EXIT_BAD_FILE,
        ("documents.h5: a pipe, a socket or a device, expected a documents file (HDF5)",),
        "name the file",
        pipe_instead("documents.h5"),
    ),
    Case(
        "a documents file that is a link to itself",
        EXIT_BAD_FILE,
        (
            "documents.h5: cannot be read: Too many levels of symbolic links, expected a documents "
            "file",
        ),
        "name the file",
        link_to_itself("documents.h5"),
    ),
    Case(
        "a documents file that is cut off",
        EXIT_BAD_FILE,
        ("documents.h5: truncated: ", " bytes are there, expected a documents file", "make it"),
        NEW_DOCUMENTS,
        truncated("documents.h5", 0.5),
    ),
    Case(
        "a documents file that HDF5 crashes on",
        EXIT_BAD_FILE,
        ("documents.h5: damaged: HDF5 crashes when it reads the file", "tokenize_documents.py"),
        NEW_DOCUMENTS,
        lambda folder: shutil.copy(CRASHING_DOCUMENTS, folder / "documents.h5"),
    ),
    Case(
        "a documents file with a bit flipped",
        EXIT_BAD_FILE,
        ("documents.h5: the tokens have SHA-256", "the file is damaged"),
        NEW_DOCUMENTS,
        flipped_token,
    ),
    Case(
        "an HDF5 file of another kind",
        EXIT_BAD_FILE,
        ("documents.h5: ", "is missing"),
        NEW_DOCUMENTS,
        documents(lambda file: (file.clear(), file.attrs.clear())),
    ),
    Case(
        "documents of a newer program",
        EXIT_BAD_FILE,
        (
            "documents.h5: format_version = 9, expected 1 to 1: a newer program wrote it; use that "
            "one, or make it with",
        ),
        "take the newer program",
        attribute("format_version", numpy.int32(9)),
    ),
    Case(
        "a dataset that is missing",
        EXIT_BAD_FILE,
        ("documents.h5: dataset titles is missing, expected the datasets tokens, offsets",),
        NEW_DOCUMENTS,
        documents(lambda file: file.pop("titles")),
    ),
    Case(
        "a dataset of another type",
        EXIT_BAD_FILE,
        ("documents.h5: dataset tokens has type float64, expected int32; make it with",),
        NEW_DOCUMENTS,
        values("tokens", numpy.zeros(1800)),
    ),
    Case(
        "a dataset of another shape",
        EXIT_BAD_FILE,
        ("documents.h5: dataset tokens has 2 dimensions, expected 1",),
        NEW_DOCUMENTS,
        values("tokens", numpy.zeros((3, 600), "<i4")),
    ),
    Case(
        "a dataset of another length",
        EXIT_BAD_FILE,
        ("documents.h5: dataset titles has 1 values, expected 3, one per document",),
        NEW_DOCUMENTS,
        values("titles", numpy.array([b"one"])),
    ),
    Case(
        "a split of an unknown number",
        EXIT_BAD_FILE,
        ("documents.h5: split[1] = 7, expected 0 (search), 1 (heldout) or 2 (validation)",),
        NEW_DOCUMENTS,
        value("split", 1, 7),
    ),
    Case(
        "a title that is not UTF-8",
        EXIT_BAD_FILE,
        ("documents.h5: titles[1] is not UTF-8",),
        NEW_DOCUMENTS,
        values("titles", numpy.array([b"one", b"tw\xf6", b"three"])),
    ),
    Case(
        "offsets that do not ascend",
        EXIT_BAD_FILE,
        ("documents.h5: offsets[2] = 1200 after offsets[1] = 1500, expected", "ascend"),
        NEW_DOCUMENTS,
        value("offsets", 1, 1500),
    ),
    Case(
        "offsets beyond the tokens",
        EXIT_BAD_FILE,
        ("documents.h5: offsets[3] = 1000000000000000, expected 1800, the number of tokens",),
        NEW_DOCUMENTS,
        value("offsets", 3, 10**15),
    ),
    Case(
        "a token outside the vocabulary",
        EXIT_BAD_FILE,
        (
            'documents.h5: document 1 ("second 1/1") has token 2048 at index 100, expected '
            "[0, 2048), the model's vocabulary: was it made with another tokeniser?",
        ),
        "tokenise the texts with the tokenizer.json of this model",
        value("tokens", 700, 2048),
    ),
    Case(
        "documents of another tokenizer",
        EXIT_BAD_FILE,
        (
            "documents.h5: its tokens were made with another tokenizer (SHA-256 0000",
            "than model/tokenizer.json (b746",
            "make it again with that one",
        ),
        "tokenise the texts with the tokenizer.json of this model",
        attribute("tokenizer_sha256", numpy.bytes_("0" * 64)),
    ),
    Case(
        "a negative token",
        EXIT_BAD_FILE,
        ("has token -3 at index 100, expected [0, 2048)",),
        NEW_DOCUMENTS,
        value("tokens", 700, -3),
    ),
    Case(
        "a beginning-of-sequence token outside the vocabulary",
        EXIT_BAD_FILE,
        ("documents.h5: bos_token_id = 99999, expected a token in [0, 2048)",),
        "tokenise the texts with the tokenizer.json of this model",
        attribute("bos_token_id", numpy.int32(99999)),
    ),
    Case(
        "a document shorter than the target",
        EXIT_CONFIGURATION,
        ('"first 1/1", search) fills 601 positions, but stage "long" has target_tokens = 1024',),
        "make longer documents, or take a smaller target",
        replaced("target_tokens = 512", "target_tokens = 1024"),
    ),
    Case(
        "no document to search on",
        EXIT_CONFIGURATION,
        ("documents.search = 1, but the documents file has none of this split", "tokenize_docum"),
        NEW_DOCUMENTS,
        documents(lambda file: file["split"].__setitem__(slice(None), 1)),
    ),
    Case(
        "a document shorter than the length to evaluate",
        EXIT_USAGE,
        ('--tokens 1024: document 1 ("second 1/1") fills only 601 positions',),
        "make longer documents, or take a smaller length",
        words=(*EVALUATE_MODEL[:-1], "1024"),
    ),
    Case(
        "`evaluate` with a setting out of range",
        EXIT_CONFIGURATION,
        ("--threads: evaluator.threads: found 4000000, accepted: [0, 4096]",),
        SEE_REFERENCE,
        words=(*EVALUATE_MODEL, "--threads", "4000000"),
    ),
    Case(
        "`evaluate` with an unknown word",
        EXIT_CONFIGURATION,
        ('--precision: evaluator.precision: found "f64", accepted: "f32", "bf16"',),
        SEE_REFERENCE,
        words=(*EVALUATE_MODEL, "--precision", "f64"),
    ),
]
