# SPDX-License-Identifier: Apache-2.0
"""Usage: python tests/run_python_test.py tests/structure/include_graph_test.py"""

import tempfile
import unittest
from pathlib import Path

import include_graph


class IncludeGraph(unittest.TestCase):
    def test_this_repository_keeps_to_the_graph(self) -> None:
        self.assertEqual(include_graph.violations(include_graph.ROOT), [])


class PlantedViolations(unittest.TestCase):
    """The same check on a small tree that has one file per room and one planted line."""

    def found_with(self, file: str, line: str) -> list[str]:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for room in include_graph.ALLOWED:
                (root / room).mkdir(parents=True, exist_ok=True)
                (root / room / "blank.hpp").write_text("#pragma once\n")
            (root / file).parent.mkdir(parents=True, exist_ok=True)
            (root / file).write_text(f"// a comment\n#include <vector>\n{line}\n")
            return include_graph.violations(root)

    def test_a_forbidden_include_is_reported_with_file_and_line(self) -> None:
        found = self.found_with("evaluator/cpu/new.cpp", '#include "coordinator/search.hpp"')
        self.assertEqual(
            found,
            ["evaluator/cpu/new.cpp:3: evaluator may not see coordinator (coordinator/search.hpp)"],
        )

    def test_every_room_but_cli_is_kept_from_what_it_may_not_see(self) -> None:
        forbidden = [
            ("genome/a.hpp", '#include "evaluator/evaluator.hpp"'),
            ("genome/a.hpp", '#include "worker/protocol/messages.hpp"'),
            ("storage/a.cpp", '#include "genome/genome.hpp"'),
            ("evaluator/a.cpp", '#include "worker/supervisor.hpp"'),
            ("evaluator/a.cpp", '#include "worker/protocol/messages.hpp"'),
            ("worker/protocol/a.hpp", '#include "worker/supervisor.hpp"'),
            ("worker/protocol/a.hpp", '#include "evaluator/evaluator.hpp"'),
            ("worker/a.cpp", '#include "coordinator/search.hpp"'),
            ("coordinator/a.cpp", '#include "evaluator/evaluator.hpp"'),
            ("coordinator/a.cpp", '#include "worker/mpi_session.hpp"'),
            ("coordinator/a.cpp", '#include "cli/arguments.hpp"'),
        ]
        for file, line in forbidden:
            with self.subTest(file=file, line=line):
                self.assertEqual(len(self.found_with(file, line)), 1)

    def test_what_a_room_is_built_on_is_allowed(self) -> None:
        allowed = [
            ("evaluator/a.cpp", '#include "genome/genome.hpp"'),
            ("evaluator/a.cpp", '#include "storage/hdf5_handle.hpp"'),
            ("worker/a.cpp", '#include "worker/protocol/messages.hpp"'),
            ("worker/a.cpp", '#include "evaluator/evaluator.hpp"'),
            ("worker/a.cpp", "#include <mpi.h>"),
            ("coordinator/a.cpp", '#include "worker/protocol/transport.hpp"'),
            ("cli/a.cpp", '#include "evaluator/model/model_folder.hpp"'),
            ("genome/a.cpp", "#include <fmt/format.h>"),
        ]
        for file, line in allowed:
            with self.subTest(file=file, line=line):
                self.assertEqual(self.found_with(file, line), [])

    def test_other_ways_to_spell_an_include_are_seen(self) -> None:
        for line in (
            '  #  include "coordinator/search.hpp"',
            "#include <coordinator/search.hpp>",
            '#include "../coordinator/search.hpp"',
            '#include "search_space.hpp"',
        ):
            with self.subTest(line=line):
                self.assertEqual(len(self.found_with("genome/a.cpp", line)), 1)

    def test_libraries_stay_in_their_rooms(self) -> None:
        for file, line in (
            ("coordinator/a.cpp", "#include <mpi.h>"),
            ("evaluator/a.cpp", "#include <mpi.h>"),
            ("genome/a.cpp", "#include <hdf5.h>"),
            ("genome/a.cpp", "#include <chrono>"),
            ("worker/a.cpp", "#include <cxxopts.hpp>"),
        ):
            with self.subTest(file=file, line=line):
                self.assertEqual(len(self.found_with(file, line)), 1)

    def test_a_tree_without_sources_does_not_pass(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.assertEqual(
                len(include_graph.violations(Path(folder))), len(include_graph.ALLOWED)
            )


if __name__ == "__main__":
    unittest.main()
