# SPDX-License-Identifier: Apache-2.0
"""Fetches the demo's books and makes its documents file, documents/demo.h5.

Usage: python scripts/prepare_demo.py
       python scripts/prepare_demo.py --campaign

With --campaign the same books give documents/demo-campaign.h5, for configs/demo-campaign.toml: one
document of each split and book that fills 16,384 tokens, some of 2,048 and many of 256.

Downloads the Debian packages r-cran-janeaustenr and bible-kjv-text (4 MB) with `apt-get
download`, unpacks them into a cache folder with `dpkg-deb`, decodes the books, compares their
SHA-256 with the recorded ones and tokenizes them. Nothing is installed, and no rights are needed
beyond writing to the two folders. When the documents file is complete, nothing is done.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import demo_texts
import tokenize_documents
from demo_texts import AUSTEN_PACKAGE, BIBLE_PACKAGE, BOOKS, Book
from tokenize_documents import Cut

PACKAGES = (AUSTEN_PACKAGE, BIBLE_PACKAGE)
TARGET_TOKENS = 2048
# Persuasion serves search and validation, so it is cut into more segments than either needs: how
# many of them are used is a setting of the search.
SEGMENTS = {"search": 32, "heldout": 8}
# A stage takes those that fill its target: few where each costs much, many where each says little.
# Half of Persuasion's are to choose by.
CAMPAIGN_CUTS = {
    "search": (Cut(2, 16384), Cut(6, 2048), Cut(64, 256)),
    "heldout": (Cut(1, 16384), Cut(3, 2048), Cut(32, 256)),
}
DOWNLOAD_SECONDS = 600


class DemoError(Exception):
    """Something the user can act on: what was attempted, what was found, what to do."""


# --- Books --------------------------------------------------------------------------------------


def provide_books(cache: Path, packages: Path | None = None) -> dict[str, str]:
    """All books by name; from `cache`/texts where they are complete, else from the packages.

    @param packages  folder with the two .deb files; None downloads them
    """
    texts = _cached_books(cache)
    if texts is not None:
        return texts
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="packages-", dir=cache) as folder:
            work = Path(folder)
            archives = {}
            for package in PACKAGES:
                archive = (
                    _find_package(packages, package)
                    if packages
                    else download_package(package, work)
                )
                archives[package] = unpack_package(archive, work / package)
            texts = demo_texts.extract_books(archives[AUSTEN_PACKAGE], archives[BIBLE_PACKAGE])
        _check_books(texts)
        _store_books(cache, texts)
    except demo_texts.TextError as error:
        raise DemoError(
            f"cannot decode the books: {error}\nThe data files of {AUSTEN_PACKAGE} 1.0.0 and "
            f"{BIBLE_PACKAGE} 4.38 (Debian 12) are expected."
        ) from error
    except OSError as error:
        raise DemoError(
            f"cannot write to the cache {cache}: {error.strerror or error}. "
            "Another folder can be given with --cache."
        ) from error
    return texts


def _cached_books(cache: Path) -> dict[str, str] | None:
    texts: dict[str, str] = {}
    for book in BOOKS:
        try:
            content = (cache / "texts" / f"{book.name}.txt").read_bytes()
        except OSError:
            return None
        if hashlib.sha256(content).hexdigest() != book.sha256:
            return None
        texts[book.name] = content.decode("utf-8")
    return texts


def _check_books(texts: dict[str, str]) -> None:
    for book in BOOKS:
        found = demo_texts.digest(texts[book.name])
        if found != book.sha256:
            raise DemoError(
                f"the text of {book.title} is not the recorded one: SHA-256 is {found}, "
                f"expected {book.sha256}.\nThe demo's figures hold for {AUSTEN_PACKAGE} 1.0.0 and "
                f"{BIBLE_PACKAGE} 4.38, as in Debian 12; `apt-cache policy {book.package}` shows "
                "which version this system offers. With .deb files of those versions, use "
                "--packages FOLDER."
            )


def _store_books(cache: Path, texts: dict[str, str]) -> None:
    folder = cache / "texts"
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        temporary = folder / f".{name}.{os.getpid()}.tmp"
        temporary.write_bytes(text.encode("utf-8"))
        temporary.replace(folder / f"{name}.txt")


# --- Packages -----------------------------------------------------------------------------------


def download_package(package: str, folder: Path) -> Path:
    """Downloads one .deb with apt-get into `folder`, which must be empty of it."""
    program = shutil.which("apt-get")
    if program is None:
        raise DemoError(
            f"cannot download the Debian package {package}: there is no `apt-get` on this system.\n"
            "On another system fetch the .deb files of "
            f"{' and '.join(PACKAGES)} and give their folder with --packages FOLDER."
        )
    command = [program, "-q", "-o", "Acquire::Retries=2", "-o", "Acquire::http::Timeout=30"]
    if os.geteuid() == 0:
        # apt would download as user _apt, who cannot write here, and then warn and do without.
        command += ["-o", "APT::Sandbox::User=root"]
    command += ["download", package]
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "LC_ALL": "C"},
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            errors="replace",
            timeout=DOWNLOAD_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DemoError(f"cannot download the Debian package {package}: {error}") from error
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if done.returncode == 0 and archives:
        return archives[-1]
    said = done.stdout.strip()
    found = "\n".join(f"    {line}" for line in said.splitlines()[-6:]) or "    (nothing)"
    raise DemoError(
        f"cannot download the Debian package {package}: `apt-get download {package}` ended with "
        f"status {done.returncode} and said\n{found}\n{_advice(said)}"
    )


def _advice(said: str) -> str:
    """What to do about an apt-get failure, by what it said."""
    lists = (
        "Unable to locate package",
        "no candidate",
        "Can't select",
        "404  Not Found",
        "Hash Sum mismatch",
        "size mismatch",
        "No packages found",
    )
    if any(phrase in said for phrase in lists):
        return (
            "The package lists are missing or out of date: run `apt-get update` (as root), then "
            "this again. If the package is still not found, the system's sources lack Debian's "
            "section 'main'."
        )
    network = (
        "Could not resolve",
        "Temporary failure",
        "Failed to fetch",
        "Unable to connect",
        "Cannot initiate the connection",
        "Connection timed out",
        "Could not connect",
        "503  Service",
        "502  Bad",
    )
    if any(phrase in said for phrase in network):
        return (
            "The Debian mirror cannot be reached: check the network, the proxy settings and "
            "/etc/apt/sources.list*, then run this again. With .deb files fetched elsewhere, use "
            "--packages FOLDER."
        )
    return (
        "Run that command in a writable folder to see the cause; `apt-get update` (as root) renews "
        "the package lists. With .deb files fetched elsewhere, use --packages FOLDER."
    )


def _find_package(folder: Path, package: str) -> Path:
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if not archives:
        raise DemoError(f"there is no file {package}_*.deb in {folder}")
    return archives[-1]


def unpack_package(archive: Path, folder: Path) -> Path:
    """Unpacks a .deb into `folder`; nothing is installed."""
    program = shutil.which("dpkg-deb")
    if program is None:
        raise DemoError(
            f"cannot unpack {archive.name}: there is no `dpkg-deb` (package dpkg) on this system"
        )
    folder.mkdir()
    done = subprocess.run(
        [program, "-x", str(archive), str(folder)],
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode != 0:
        raise DemoError(
            f"cannot unpack {archive.name} ({archive.stat().st_size} bytes): dpkg-deb said "
            f"'{done.stdout.strip()}'.\nThe download is damaged: run this again."
        )
    return folder


# --- The documents file -------------------------------------------------------------------------


def document_plan(
    texts: dict[str, str], cuts: dict[str, tuple[Cut, ...]]
) -> list[tokenize_documents.Text]:
    """What of the books goes into the documents file; the titles alone if `texts` is empty.

    @param cuts  of each book, by its role
    """
    return [
        tokenize_documents.Text(
            title=book.title,
            content=texts.get(book.name, ""),
            split="alternate" if book.role == "search" else book.role,
            cuts=cuts[book.role],
            source=f"Debian package {book.package}",
            licence=book.licence,
        )
        for book in _document_books()
    ]


def _document_books() -> list[Book]:
    return [book for book in BOOKS if book.role in SEGMENTS]


def is_complete(
    output: Path, tokenizer: Path, plan: list[tokenize_documents.Text], books: list[Book]
) -> bool:
    """Whether `output` is the documents file of this plan and these books, undamaged.

    @param plan  of the titles alone, one text for each of `books`
    """
    import h5py

    expected = {
        "format_version": tokenize_documents.FORMAT_VERSION,
        "tokenizer_sha256": hashlib.sha256(tokenizer.read_bytes()).hexdigest(),
        "text_sha256": tokenize_documents.combined_digest(
            [(book.title, book.sha256) for book in books]
        ),
    }
    try:
        with h5py.File(output, "r") as file:
            for name, value in expected.items():
                found = file.attrs[name]
                if (found.decode() if isinstance(found, bytes) else found) != value:
                    return False
            return (
                [title.decode("utf-8") for title in file["titles"][:]]
                == [title for text in plan for title in text.titles()]
                and file["split"][:].tolist() == [split for text in plan for split in text.splits()]
                and len(file["tokens"]) == file["offsets"][-1]
                and hashlib.sha256(file["tokens"][:].tobytes()).hexdigest()
                == file.attrs["tokens_sha256"].decode()
            )
    except (OSError, KeyError, ValueError, AttributeError, RuntimeError):
        return False  # absent, damaged or something else: it is built anew


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--campaign",
        action="store_true",
        help="make documents of up to 16384 tokens for configs/demo-campaign.toml",
    )
    parser.add_argument(
        "--output",
        type=Path,
        help="the documents file to write (default: documents/demo.h5, or with --campaign "
        "documents/demo-campaign.h5)",
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
    parser.add_argument(
        "--packages",
        type=Path,
        metavar="FOLDER",
        help="take the two .deb files from here instead of downloading them",
    )
    parser.add_argument(
        "--force", action="store_true", help="rebuild a documents file that is complete"
    )
    arguments = parser.parse_args()
    name = "demo-campaign.h5" if arguments.campaign else "demo.h5"
    output = arguments.output or Path("documents") / name
    cuts = {role: (Cut(segments, TARGET_TOKENS),) for role, segments in SEGMENTS.items()}
    if arguments.campaign:
        cuts = CAMPAIGN_CUTS
    try:
        if not arguments.tokenizer.is_file():
            raise DemoError(
                f"there is no tokenizer {arguments.tokenizer}: run this in the root of the "
                "repository, or give --tokenizer"
            )
        if not arguments.force and is_complete(
            output, arguments.tokenizer, document_plan({}, cuts), _document_books()
        ):
            print(f"{output} is complete; --force rebuilds it")
            return 0
        texts = provide_books(arguments.cache, arguments.packages)
        count = tokenize_documents.write_documents(
            output, arguments.tokenizer, document_plan(texts, cuts)
        )
    except (DemoError, tokenize_documents.DocumentsError) as error:
        print(f"prepare_demo: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(
            f"prepare_demo: the Python package '{error.name}' is missing: "
            "run scripts/install_dependencies.sh, or pip install -r scripts/requirements.txt",
            file=sys.stderr,
        )
        return 1
    longest = max(cut.target_tokens for of_role in cuts.values() for cut in of_role)
    print(
        f"{output}: {count} documents of {'up to ' if arguments.campaign else ''}"
        f"{longest - 1} tokens from "
        f"{len(_document_books())} books"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
