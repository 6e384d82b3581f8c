# SPDX-License-Identifier: Apache-2.0
"""Gets texts to search on and to fine-tune with: text files, or a training documents file.

Usage: python scripts/prepare_corpus.py redpajama --tokenizer MODEL/tokenizer.json \\
           --max-total-tokens 1700000000 --output documents/redpajama-llama2.h5
       python scripts/prepare_corpus.py pg19 --split validation --tokenizer MODEL/tokenizer.json \\
           --min-tokens 262144 --texts 10 --output texts/pg19
       python scripts/prepare_corpus.py local novel.txt other.txt \\
           --tokenizer MODEL/tokenizer.json --output documents/mine.h5

An output that ends in .h5 is a training documents file for scripts/finetune.py; any other one is a
folder of UTF-8 text files, for scripts/tokenize_documents.py to cut search documents from. All but
`local` are streamed from the Hugging Face Hub by the package `datasets` (pip install datasets):
pg19, redpajama, and gutenberg, books whose copyright has expired, in place of Books3, which may not
be redistributed. The terms of each are on its page, and are the user's to keep.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenize_documents
import training_documents
from tokenize_documents import DocumentsError, positive
from training_documents import TrainingText

TRAINING_SUFFIX = ".h5"


@dataclass(frozen=True)
class Corpus:
    """A data set of the Hub, and the columns that hold text and title."""

    dataset: str
    split: str
    text: str
    title: str | None
    licence: str
    revision: str | None = None


CORPORA = {
    "pg19": Corpus(
        "emozilla/pg19",
        "validation",
        "text",
        "short_book_title",
        "Project Gutenberg books published before 1919; data set: Apache-2.0",
    ),
    # The data set itself is a program, which `datasets` no longer runs; this is its conversion.
    "redpajama": Corpus(
        "togethercomputer/RedPajama-Data-1T-Sample",
        "train",
        "text",
        None,
        "that of each source, see the data set's page",
        revision="refs/convert/parquet",
    ),
    "gutenberg": Corpus(
        "common-pile/project_gutenberg",
        "train",
        "text",
        "id",
        "public domain in the USA",
    ),
}


# --- Texts --------------------------------------------------------------------------------------


def local_texts(files: list[Path], source: str, licence: str) -> Iterator[TrainingText]:
    for file in files:
        yield TrainingText(file.stem, tokenize_documents.read_text(file), source, licence)


def hub_texts(corpus: Corpus, seed: int, shuffled: int) -> Iterator[TrainingText]:
    """The texts of a data set, streamed; `shuffled` of them at a time in a random order.

    Raises DocumentsError if the package is missing, the data set cannot be had, or lacks a column.
    """
    try:
        import datasets
    except ModuleNotFoundError as error:
        raise DocumentsError(
            "the Python package 'datasets' is missing, which this project does not install: "
            "pip install datasets. `local` takes text files without it"
        ) from error
    try:
        rows = datasets.load_dataset(
            corpus.dataset, split=corpus.split, revision=corpus.revision, streaming=True
        )
        if shuffled > 1:
            rows = rows.shuffle(seed=seed, buffer_size=shuffled)
        for number, row in enumerate(rows, 1):
            yield _text_of(row, number, corpus)
    except DocumentsError:
        raise
    except Exception as error:  # of the network, the Hub, the data set's form: many kinds
        raise DocumentsError(
            f"cannot read the data set {corpus.dataset} (split {corpus.split}, revision "
            f"{corpus.revision or 'newest'}): {type(error).__name__}: {error}\n"
            "--dataset, --revision, --split, --text-column and --title-column name another one"
        ) from error


def _text_of(row: dict[str, Any], number: int, corpus: Corpus) -> TrainingText:
    for column in filter(None, (corpus.text, corpus.title)):
        if column not in row:
            raise DocumentsError(
                f"the data set {corpus.dataset} has no column '{column}'; it has {', '.join(row)}: "
                "give --text-column and --title-column"
            )
    title = str(row[corpus.title]) if corpus.title else f"{corpus.dataset} {number}"
    return TrainingText(title, row[corpus.text], corpus.dataset, corpus.licence)


def selected(
    texts: Iterator[TrainingText],
    tokenizer: Path | None,
    *,
    min_tokens: int,
    count: int | None,
    max_total_tokens: int | None,
) -> Iterator[TrainingText]:
    """The first `count` of the texts of at least `min_tokens`, while they fit into the total."""
    measure = None
    if min_tokens > 1 or max_total_tokens is not None:
        if tokenizer is None:
            raise DocumentsError("--min-tokens and --max-total-tokens need --tokenizer")
        measure = tokenize_documents.load_tokenizer(tokenizer)[0]
    taken = total = 0
    for text in texts:
        if not text.content.strip():
            continue
        tokens = len(measure.encode(text.content, add_special_tokens=False).ids) if measure else 0
        if measure and tokens < min_tokens:
            continue
        if max_total_tokens is not None and total + tokens > max_total_tokens:
            return
        yield text
        taken, total = taken + 1, total + tokens
        if taken == count:
            return


# --- Output -------------------------------------------------------------------------------------


def write_text_files(folder: Path, texts: Iterator[TrainingText]) -> int:
    """A file per text, named by its number and title; returns how many.

    Raises DocumentsError if there are files in the folder already, or it cannot be written.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise DocumentsError(f"{folder} is not empty: give another --output, or remove it")
    count = 0
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for count, text in enumerate(texts, 1):
            name = re.sub(r"[^A-Za-z0-9]+", "-", text.title).strip("-").lower()[:60] or "text"
            (folder / f"{count:04d}-{name}.txt").write_text(text.content, encoding="utf-8")
    except OSError as error:
        raise DocumentsError(f"cannot write to {folder}: {error.strerror or error}") from error
    return count


def prepare(arguments: argparse.Namespace) -> str:
    """Writes the output; returns what to say of it."""
    corpus = chosen_corpus(arguments)
    if corpus is None:
        texts = local_texts(arguments.files, arguments.source, arguments.licence)
    else:
        texts = hub_texts(corpus, arguments.seed, arguments.shuffle)
    texts = selected(
        texts,
        arguments.tokenizer,
        min_tokens=arguments.min_tokens,
        count=arguments.texts,
        max_total_tokens=arguments.max_total_tokens,
    )
    if arguments.output.suffix != TRAINING_SUFFIX:
        if arguments.force or arguments.bos != "auto":
            raise DocumentsError(f"--force and --bos go with a documents file ({TRAINING_SUFFIX})")
        count = write_text_files(arguments.output, texts)
        if count == 0:
            raise DocumentsError("no text was found that is long enough")
        return f"{arguments.output}: {count} texts"
    if arguments.tokenizer is None:
        raise DocumentsError("training documents need --tokenizer: the model's tokenizer.json")

    def progress(documents: int, tokens: int) -> None:
        print(f"prepare_corpus: {documents} texts, {tokens} tokens", file=sys.stderr, flush=True)

    if arguments.output.exists() and not arguments.force:
        raise DocumentsError(f"{arguments.output} exists already: --force replaces it")
    count, tokens = training_documents.write_training_documents(
        arguments.output, arguments.tokenizer, texts, progress, arguments.bos
    )
    return f"{arguments.output}: {count} texts, {tokens} tokens"


def chosen_corpus(arguments: argparse.Namespace) -> Corpus | None:
    """None for local files."""
    if arguments.corpus == "local":
        return None
    known = CORPORA[arguments.corpus]
    other = arguments.dataset is not None
    return Corpus(
        arguments.dataset or known.dataset,
        arguments.split or known.split,
        arguments.text_column or known.text,
        arguments.title_column or (None if other else known.title),
        arguments.licence if other else known.licence,
        arguments.revision or (None if other else known.revision),
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", choices=("local", *CORPORA), help="where the texts come from")
    parser.add_argument("files", type=Path, nargs="*", help="UTF-8 texts, of `local` alone")
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        help=f"a training documents file ({TRAINING_SUFFIX}), or a folder for text files",
    )
    parser.add_argument("--tokenizer", type=Path, help="the model's tokenizer.json")
    parser.add_argument(
        "--bos",
        default="auto",
        help="token in front of each text: auto (as the tokenizer puts it), none, or a token; as "
        "the documents of the search have it",
    )
    parser.add_argument("--force", action="store_true", help="replace a documents file that exists")
    parser.add_argument("--texts", type=positive, help="how many (default: all)")
    parser.add_argument("--min-tokens", type=positive, default=1, help="shorter texts are left out")
    parser.add_argument(
        "--max-total-tokens",
        type=positive,
        help="of all texts together; a training of 400 steps "
        "of 32 segments of 131,072 tokens sees 1.7e9 (default: no limit)",
    )
    parser.add_argument("--dataset", metavar="NAME", help="another data set of the Hub")
    parser.add_argument("--revision", help="of the data set")
    parser.add_argument("--split", help="of the data set")
    parser.add_argument("--text-column", help="the column of the data set that holds the text")
    parser.add_argument("--title-column", help="the column that holds a title")
    parser.add_argument(
        "--shuffle",
        type=positive,
        default=1000,
        metavar="N",
        help="texts of the data set held at a time, to be taken in a random order; 1: in order "
        "(default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=42, help="of --shuffle (default: %(default)s)")
    parser.add_argument(
        "--source", default="not stated", help="where local texts come from, stored in the file"
    )
    parser.add_argument(
        "--licence", default="not stated", help="of local texts or --dataset, stored in the file"
    )
    arguments = parser.parse_args()
    if (arguments.corpus == "local") != bool(arguments.files):
        parser.error("`local` needs text files, and no other corpus takes them")
    try:
        print(prepare(arguments))
    except DocumentsError as error:
        print(f"prepare_corpus: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"prepare_corpus: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh, or pip install -r scripts/requirements.txt",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
