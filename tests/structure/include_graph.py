# SPDX-License-Identifier: Apache-2.0
"""Which room includes which: the rule, and what breaks it.

Usage: python tests/structure/include_graph.py [REPOSITORY]

Prints the violations, and exits with 1 if there are any.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# genome <- evaluator <- worker;  genome <- worker/protocol <- worker, coordinator;  cli sees all.
ALLOWED = {
    "genome": {"genome"},
    "storage": {"storage"},
    "evaluator": {"evaluator", "genome", "storage"},
    "worker/protocol": {"worker/protocol", "genome"},
    "worker": {"worker", "worker/protocol", "evaluator", "genome"},
    "coordinator": {"coordinator", "worker/protocol", "genome", "storage"},
    "cli": {"cli", "coordinator", "worker", "worker/protocol", "evaluator", "storage", "genome"},
}
# Headers from outside that belong to some rooms alone, by what they begin with.
RESERVED = {
    "mpi.h": {"worker", "cli"},
    "hdf5": {"storage", "evaluator", "coordinator", "cli"},
    "oneapi/": {"evaluator", "cli"},
    "cxxopts": {"cli"},
    "toml++/": {"coordinator"},
    "cuda": {"evaluator"},
}
# genome is pure values: no file, clock or thread.
GENOME_EXCLUDES = (
    "chrono",
    "ctime",
    "filesystem",
    "fstream",
    "iostream",
    "random",
    "thread",
    "unistd.h",
)

SUFFIXES = {".hpp", ".cpp", ".h", ".cu", ".cuh", ".in"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">]+)[">]', re.MULTILINE)


def room_of(path: str) -> str | None:
    """The room that a path from the repository's root lies in; None outside of all rooms."""
    for room in sorted(ALLOWED, key=len, reverse=True):  # worker/protocol before worker
        if path.startswith(room + "/"):
            return room
    return None


def sources(root: Path) -> Iterator[Path]:
    for room in ALLOWED:
        if "/" not in room:
            yield from sorted(p for p in (root / room).rglob("*") if p.suffix in SUFFIXES)


def violation(room: str, quote: str, included: str) -> str | None:
    """What is wrong with one #include of a file in `room`; None if nothing is."""
    target = room_of(included)
    if target is None:
        if quote == '"':
            return f'"{included}" is not a path from the root into a room'
        for prefix, rooms in RESERVED.items():
            if included.startswith(prefix) and room not in rooms:
                return f"<{included}> belongs to {', '.join(sorted(rooms))}"
        if room == "genome" and included in GENOME_EXCLUDES:
            return f"<{included}>: genome has no file, clock or thread, and its own random streams"
        return None
    if quote == "<":
        return f"<{included}> is ours and takes quotation marks"
    if target not in ALLOWED[room]:
        return f"{room} may not see {target} ({included})"
    return None


def violations(root: Path) -> list[str]:
    """All violations as "file:line: what", and an error if there is nothing to check."""
    found = []
    rooms = set()
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        room = room_of(name)
        assert room is not None
        rooms.add(room)
        text = path.read_text(encoding="utf-8")
        for match in INCLUDE.finditer(text):
            what = violation(room, match[1], match[2])
            if what is not None:
                found.append(f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {what}")
    found += [f"{room}: no source files found" for room in ALLOWED if room not in rooms]
    return found


def main() -> int:
    found = violations(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT)
    print("\n".join(found) or "every #include is allowed")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
