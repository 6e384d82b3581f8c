# SPDX-License-Identifier: Apache-2.0
"""Lists the tests that a CTest run skipped, wholly or in part, with the reason of each.

Usage: python scripts/list_skipped_tests.py build/release/tests.xml

Reads the report of `ctest --output-junit`, made with --test-output-size-passed large enough for
whole outputs. A test tells its reasons in lines "skipped: REASON" of its output, alone or as a
message of doctest; a test that CTest itself did not run has CTest's word. Prints a line for each,
or that there are none, and always the count. Exit status: 0, or 2 if there is no such report.
"""

from __future__ import annotations

import argparse
import re
import sys
import xml.etree.ElementTree
from pathlib import Path

REASON = re.compile(r"^(?:\S+:\d+: MESSAGE: )?skipped: (.+)$", re.MULTILINE)


def skips(report: Path) -> list[tuple[str, str, bool]]:
    """Name, reason, and whether it was the whole test, of each skip."""
    found = []
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        name, whole = case.get("name", ""), case.get("status") in ("notrun", "disabled")
        reasons = list(dict.fromkeys(REASON.findall(case.findtext("system-out") or "")))
        if whole and not reasons:
            said = case.find("skipped")
            reasons = ["" if said is None else said.get("message", "")]
        found += [(name, reason or "no reason given", whole) for reason in reasons]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("report", type=Path, help="what ctest --output-junit wrote")
    report = parser.parse_args().report
    try:
        found = skips(report)
    except (OSError, xml.etree.ElementTree.ParseError) as error:
        print(f"list_skipped_tests: cannot read {report}: {error}", file=sys.stderr)
        return 2
    for name, reason, whole in found:
        print(f"skipped: {name}{'' if whole else ' (in part)'}: {reason}")
    whole = len({name for name, _, whole in found if whole})
    in_part = len({name for name, _, whole in found if not whole})
    print(f"{whole} tests skipped, {in_part} more in part")
    return 0


if __name__ == "__main__":
    sys.exit(main())
