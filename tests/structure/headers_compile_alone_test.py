# SPDX-License-Identifier: Apache-2.0
"""Every header compiles on its own.

A header that a source file of the build includes before anything else is proven by the build; the
others are checked here, with the options of a source file beside them, of the most similar name.

Usage: COMPILE_COMMANDS=build/release/compile_commands.json \
       python tests/run_python_test.py tests/structure/headers_compile_alone_test.py
"""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import shlex
import subprocess
import tempfile
import unittest
from pathlib import Path

import include_graph

# Of a compile command, what names its source, its products and how they are optimised.
DROPPED = {"-c", "-O1", "-O2", "-O3", "-g", "-g1"}
DROPPED_WITH_VALUE = {"-o", "-MF", "-MT", "-MQ"}
# Headers of the CUDA toolkit, which a build without it need not have, and what names their folder.
VENDOR = re.compile(r"#include <(cuda_runtime|cuda_runtime_api|cublasLt|cudnn)\.h>")
VENDOR_FOLDER = re.compile(r"-isystem \S*cuda")


def likeness(source: Path, header: Path) -> tuple[int, int]:
    """How near a source is to a header, by folder and then by the beginning of its name."""
    folders = len(os.path.commonpath([source, header]).split(os.sep))
    return folders, len(os.path.commonprefix([source.stem, header.stem]))


def check_options(command: str, source: Path) -> list[str]:
    """The compiler and options of a compile command, for a syntax check of standard input."""
    words = shlex.split(command)
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in DROPPED_WITH_VALUE:
            skip = True
        elif word not in DROPPED and not word.startswith("-M") and Path(word) != source:
            kept.append(word)
    return [*kept, "-O0", "-fsyntax-only", "-x", "c++", "-"]


class Commands:
    """The compile commands of a build folder, by room."""

    def __init__(self, file: Path, root: Path) -> None:
        self._by_room: dict[str, list[tuple[Path, dict[str, str]]]] = {}
        for entry in json.loads(file.read_text()):
            source = Path(entry["file"])
            if source.is_relative_to(root) and source.suffix == ".cpp":
                room = include_graph.room_of(source.relative_to(root).as_posix())
                if room is not None:
                    self._by_room.setdefault(room, []).append((source, entry))

    def proven(self, header: Path, root: Path) -> bool:
        """Whether the build compiles `header` as the first thing in the source file of its name."""
        source = header.with_suffix(".cpp")
        name = header.relative_to(root).as_posix()
        if all(
            source != built for built, _ in self._by_room.get(include_graph.room_of(name) or "", [])
        ):
            return False
        first = include_graph.INCLUDE.search(source.read_text(encoding="utf-8"))
        return first is not None and first[2] == name

    def check(self, header: Path, root: Path) -> str:
        """What is wrong with `header`; empty if nothing is."""
        name = header.relative_to(root).as_posix()
        if "#pragma once" not in header.read_text(encoding="utf-8"):
            return f"{name}: no #pragma once\n"
        if self.proven(header, root):
            return ""
        room = include_graph.room_of(name)
        candidates = self._by_room.get(room or "")
        if not candidates:
            return f"{name}: no source file of {room} is in the compile commands\n"
        if VENDOR.search(header.read_text(encoding="utf-8")):
            candidates = [each for each in candidates if VENDOR_FOLDER.search(each[1]["command"])]
            if not candidates:
                print(f"skipped: {name}: this build has no CUDA toolkit")
                return ""
        source, entry = max(candidates, key=lambda candidate: likeness(candidate[0], header))
        done = subprocess.run(
            check_options(entry["command"], source),
            input=f'#include "{name}"\n',
            cwd=entry["directory"],
            text=True,
            capture_output=True,
        )
        return "" if done.returncode == 0 else f"{name}:\n{done.stderr}"


def failures(root: Path, commands: Commands) -> tuple[int, list[str]]:
    headers = [path for path in include_graph.sources(root) if path.suffix == ".hpp"]
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = list(pool.map(lambda header: commands.check(header, root), headers))
    return len(headers), [result for result in results if result]


class HeadersCompileAlone(unittest.TestCase):
    def test_every_header_of_this_repository(self) -> None:
        root = include_graph.ROOT
        count, found = failures(root, Commands(Path(os.environ["COMPILE_COMMANDS"]), root))
        self.assertGreater(count, 20)
        self.assertEqual("", "\n".join(found))

    def test_a_header_that_needs_another_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder).resolve()
            (root / "genome").mkdir()
            for name, text in (
                ("whole.hpp", "#pragma once\n#include <vector>\nstd::vector<int> f();\n"),
                ("needy.hpp", "#pragma once\nstd::vector<int> g();\n"),
                ("twice.hpp", "struct Unguarded {};\n"),
                ("proven.hpp", "#pragma once\nthis is left to the build\n"),
                ("proven.cpp", '// Own header first.\n#include "genome/proven.hpp"\n'),
                ("unproven.hpp", "#pragma once\nstd::vector<int> g();\n"),
                ("unproven.cpp", '#include <vector>\n#include "genome/unproven.hpp"\n'),
                ("unbuilt.hpp", "#pragma once\nstd::vector<int> h();\n"),
                ("unbuilt.cpp", '#include "genome/unbuilt.hpp"\n'),
            ):
                (root / "genome" / name).write_text(text)
            entries = [
                {
                    "file": str(source),
                    "directory": folder,
                    "command": f"c++ -I{folder} -std=c++20 -O3 -MF a.d -o a.o -c {source}",
                }
                for source in (root / "genome" / "proven.cpp", root / "genome" / "unproven.cpp")
            ]
            (root / "compile_commands.json").write_text(json.dumps(entries))
            count, found = failures(root, Commands(root / "compile_commands.json", root))
        self.assertEqual(count, 6)
        self.assertEqual(
            [text.partition(":")[0] for text in found],
            ["genome/needy.hpp", "genome/twice.hpp", "genome/unbuilt.hpp", "genome/unproven.hpp"],
        )


if __name__ == "__main__":
    unittest.main()
