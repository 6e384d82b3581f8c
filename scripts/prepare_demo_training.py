# SPDX-License-Identifier: Apache-2.0
"""Makes the training documents of the demo's fine-tuning, documents/demo-training.h5.

Usage: python scripts/prepare_demo_training.py

They are the texts that the demo's model was trained on before (scripts/train_demo_model.py): four
novels and the Bible up to John, from the Debian packages that scripts/prepare_demo.py downloads.
What is searched, chosen or reported on is not among them. When the file is complete, nothing is
done.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import demo_texts
import prepare_demo
import tokenize_documents
import training_documents
from training_documents import TrainingText

BOOKS = [book for book in demo_texts.BOOKS if book.role == "train"]


def is_complete(output: Path, tokenizer: Path) -> bool:
    """Whether `output` holds these books, undamaged, by this tokenizer."""
    import h5py

    expected = {
        "tokenizer_sha256": hashlib.sha256(tokenizer.read_bytes()).hexdigest(),
        "text_sha256": tokenize_documents.combined_digest(
            [(book.title, book.sha256) for book in BOOKS]
        ),
    }
    try:
        with h5py.File(output, "r") as file:
            found = {name: file.attrs[name] for name in (*expected, "tokens_sha256")}
            found = {k: v.decode() if isinstance(v, bytes) else v for k, v in found.items()}
            expected["tokens_sha256"] = hashlib.sha256(file["tokens"][:].tobytes()).hexdigest()
            return found == expected
    except (OSError, KeyError, ValueError, AttributeError, RuntimeError):
        return False  # absent, damaged or something else: it is built anew


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("documents/demo-training.h5"),
        help="the training documents to write (default: %(default)s)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("documents/cache"),
        help="folder that keeps the decoded books (default: %(default)s)",
    )
    parser.add_argument(
        "--tokenizer",
        type=Path,
        default=Path("models/demo/tokenizer.json"),
        help="the model's tokenizer (default: %(default)s)",
    )
    arguments = parser.parse_args()
    try:
        if not arguments.tokenizer.is_file():
            raise prepare_demo.DemoError(
                f"there is no tokenizer {arguments.tokenizer}: run this in the root of the "
                "repository, or give --tokenizer"
            )
        if is_complete(arguments.output, arguments.tokenizer):
            print(f"{arguments.output} is complete")
            return 0
        contents = prepare_demo.provide_books(arguments.cache)
        texts = (
            TrainingText(
                book.title, contents[book.name], f"Debian package {book.package}", book.licence
            )
            for book in BOOKS
        )
        count, tokens = training_documents.write_training_documents(
            arguments.output, arguments.tokenizer, texts
        )
    except (prepare_demo.DemoError, tokenize_documents.DocumentsError) as error:
        print(f"prepare_demo_training: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"prepare_demo_training: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh, or pip install -r scripts/requirements.txt",
            file=sys.stderr,
        )
        return 1
    print(f"{arguments.output}: {count} texts, {tokens} tokens")
    return 0


if __name__ == "__main__":
    sys.exit(main())
