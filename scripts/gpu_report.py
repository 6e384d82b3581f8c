# SPDX-License-Identifier: Apache-2.0
"""Writes the report of scripts/check_gpu.sh: what was run on which GPU, and what came out.

Usage: python scripts/gpu_report.py --work FOLDER --failed 0 [--commit ID] [--output FILE]

FOLDER holds `steps` (lines "NAME STATUS SECONDS"), NAME.log of each, devices.json of `longrope
devices --json` and the JUnit reports of doctest and CTest. The share of peak is of the dense bf16
rate that NVIDIA states for the device; of one that is not in the table it is null. Exit status: 0,
or 2 without steps.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import sys
import xml.etree.ElementTree
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Dense bf16, TFLOP/s; the first whose words are in the device's name counts.
PEAKS = (
    ("H100 PCIe", 756.0),
    ("H100 NVL", 835.0),
    ("H100", 989.0),
    ("H200 NVL", 835.0),
    ("H200", 989.0),
    ("GH200", 989.0),
    ("H800", 989.0),
    ("GB200", 2500.0),
    ("B200", 2250.0),
    ("A100", 312.0),
    ("A800", 312.0),
    ("L40S", 362.0),
    ("A40", 150.0),
)
LOG_LINES = 40
MESSAGE_CHARACTERS = 2000


def peak_of(device: str) -> float | None:
    return next((peak for name, peak in PEAKS if re.search(rf"\b{name}\b", device)), None)


def steps(work: Path) -> list[dict]:
    found = []
    for line in (work / "steps").read_text().splitlines():
        name, status, seconds = line.split()
        step = {"name": name, "passed": status == "0", "status": int(status)}
        step["seconds"] = int(seconds)
        if status != "0":
            log = (work / f"{name}.log").read_text(errors="replace")
            step["last_lines"] = log.splitlines()[-LOG_LINES:]
        found.append(step)
    return found


def tests(report: Path) -> dict | None:
    """Counts of a report of CTest or doctest, and the names and words of what did not pass."""
    try:
        cases = list(xml.etree.ElementTree.parse(report).iter("testcase"))
    except (OSError, xml.etree.ElementTree.ParseError):
        return None
    by_status: dict[str, list[str]] = {}
    messages: dict[str, list[str]] = {}
    for case in cases:
        name = case.get("name", "")
        wrong = [*case.findall("failure"), *case.findall("error")]
        found = "fail" if wrong else "run"
        by_status.setdefault(case.get("status", found), []).append(name)
        if wrong:
            said = [f"{each.get('message') or ''} {each.text or ''}".strip() for each in wrong]
            messages[name] = [text[:MESSAGE_CHARACTERS] for text in said]
    return {
        "run": len(by_status.get("run", [])),
        "failed": by_status.get("fail", []),
        "skipped": by_status.get("notrun", []) + by_status.get("disabled", []),
        "messages": messages,
    }


def json_object(line: str) -> dict | None:
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def measurements(work: Path) -> dict | None:
    """What gpu_check printed, with the share of peak beside each rate."""
    try:
        lines = (work / "measure.log").read_text().splitlines()
    except OSError:
        return None
    # Whole after each result; what was being written when its time was up is no JSON.
    found = next((report for report in map(json_object, reversed(lines)) if report), None)
    if found is None:
        return None
    peak = peak_of(found["device"])
    found["peak_tflop_per_second"] = peak
    for row in found["throughput"]:
        row["share_of_peak"] = None if peak is None else row["tflop_per_second"] / peak
    return found


def device_name(work: Path) -> str:
    """Of the first device that CUDA shows; "gpu" where there is none."""
    shown = json.loads((work / "devices.json").read_text())["cuda"]["devices"]
    return next((each["name"] for each in shown if each["index"] is not None), "gpu")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True, help="folder of the steps' outputs")
    parser.add_argument("--failed", type=int, default=0, help="whether a step failed")
    parser.add_argument("--commit", default="unknown", help="that was built")
    parser.add_argument("--output", type=Path, help="default: docs/gpu/DATE-DEVICE.json")
    arguments = parser.parse_args()
    now = datetime.datetime.now(datetime.UTC)
    try:
        device = device_name(arguments.work)
        report = {
            "date": now.isoformat(timespec="seconds"),
            "commit": arguments.commit,
            "passed": arguments.failed == 0,
            "devices": json.loads((arguments.work / "devices.json").read_text()),
            "steps": steps(arguments.work),
            "gpu_tests": tests(arguments.work / "gpu_tests.xml"),
            "suite": tests(arguments.work / "suite.xml"),
            "measurements": measurements(arguments.work),
        }
    except (OSError, ValueError, KeyError) as error:
        print(f"gpu_report: cannot read {arguments.work}: {error}", file=sys.stderr)
        return 2
    slug = re.sub(r"[^a-z0-9]+", "-", device.lower()).strip("-")
    output = arguments.output or ROOT / "docs" / "gpu" / f"{now:%Y-%m-%d}-{slug}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(report, indent=2) + "\n")
    for row in (report["measurements"] or {}).get("throughput", []):
        share = row["share_of_peak"]
        print(
            f"{row['positions']:>8} tokens: {row['tokens_per_second']:,.0f} tokens/s"
            + ("" if share is None else f", {100 * share:.1f} % of peak")
        )
    print(f"{'passed' if report['passed'] else 'FAILED'}: {output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
