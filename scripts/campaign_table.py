# SPDX-License-Identifier: Apache-2.0
"""Measures the demo's campaign: perplexity of models x position encodings x lengths, as Markdown.

Usage: python scripts/campaign_table.py --history runs/demo-campaign/search.h5

One stretch of each held-out book is cut into windows of each length, so that all columns score the
same text. Rows of a block have one model and one attention scale; the vectors of a block are those
for one target, at all lengths. Standard errors are over blocks of 1,024 tokens of that text, and
differences are paired by block; neighbouring blocks are taken as independent. What was measured is
kept beside the history, and not measured again when the script is.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

import finetune_state
import h5py
import rescale_factors
import tokenize_documents
from campaign_cells import BASELINES, Cell, Meter, Section, TableError, difference

# --- The table ----------------------------------------------------------------------------------


def sections_of(arguments: argparse.Namespace) -> dict[str, Section]:
    """What is measured, by a short name; models and stages are those of scripts/demo_campaign.sh.

    The vectors of the first search are measured up to its target, those of the second at the first
    window, at the first target, and beyond it.
    """
    facts = rescale_factors.read_facts(arguments.base)
    with h5py.File(arguments.history) as file:
        names = sorted(file["stages"], key=lambda name: file["stages"][name].attrs["order"])
    if len(names) != 3:
        raise TableError(f"{arguments.history} has {len(names)} stages; the campaign has three")
    first, second, short = (
        rescale_factors.read_stage(arguments.history, name, facts) for name in names
    )
    near, far, window = first.target_tokens, second.target_tokens, facts.window
    columns = arguments.lengths or columns_for(window, near, far)
    up_to_near = tuple(tokens for tokens in columns if tokens <= near)
    beyond = tuple(tokens for tokens in columns if tokens in (window, near) or tokens > near)
    base, tuned = arguments.base, arguments.tuned
    yarn, longer = arguments.tuned_yarn, arguments.tuned_short
    ours, theirs, none = "tuned (searched)", "tuned (YaRN)", f"trained on at {window}"
    pair, three = ("yarn",), ("none", "yarn")
    return {
        "untouched": Section("untouched, as it is", base, window, None, ("none",), (window,)),
        "longer": Section(none, longer, window, None, ("none",), (window,)),
        "recovered": Section(f"{ours}, for {window}", tuned, window, short, (), (window,)),
        "untouched near": Section(
            f"untouched, for {near}", base, near, first, BASELINES, up_to_near
        ),
        "tuned near": Section(f"{ours}, for {near}", tuned, near, first, pair, up_to_near),
        "yarn near": Section(f"{theirs}, for {near}", yarn, near, first, pair, up_to_near),
        "longer near": Section(f"{none}, for {near}", longer, near, first, three, up_to_near),
        "untouched far": Section(f"untouched, for {far}", base, far, second, BASELINES, beyond),
        "tuned far": Section(f"{ours}, for {far}", tuned, far, second, BASELINES, beyond),
        "yarn far": Section(f"{theirs}, for {far}", yarn, far, second, BASELINES, beyond),
        "longer far": Section(f"{none}, for {far}", longer, far, second, three, beyond),
    }


def columns_for(window: int, near: int, far: int) -> list[int]:
    """Twice as long each, from the window to the first target, and the second target."""
    return sorted({near, far, *(window << n for n in range((near // window).bit_length()))})


Cells = dict[tuple[str, str, int], Cell]  # by section, row, length


def markdown(sections: list[Section], cells: Cells) -> str:
    """A row per model and encoding; each cell is perplexity ± standard error."""
    lengths = sorted({tokens for section in sections for tokens in section.lengths})
    lines = [
        "| model, vectors | row | " + " | ".join(f"{length:,}" for length in lengths) + " |",
        "|---|---|" + "---|" * len(lengths),
    ]
    for section in sections:
        for row in section.rows():
            found = [cells.get((section.title, row, length)) for length in lengths]
            shown = [
                f"{cell.perplexity:.1f} ± {cell.perplexity * cell.standard_error:.1f}"
                if cell
                else ""
                for cell in found
            ]
            lines.append(f"| {section.title} | {row} | " + " | ".join(shown) + " |")
    return "\n".join(lines)


def comparisons(sections: dict[str, Section], cells: Cells) -> list[str]:
    """What the campaign is about, paired by block of text."""
    window, near, far = (
        sections[name].target_tokens for name in ("untouched", "untouched near", "untouched far")
    )

    def cell(section: str, row: str, tokens: int) -> tuple[str, str, int]:
        return sections[section].title, row, tokens

    untouched, longer = cell("untouched", "none", window), cell("longer", "none", window)
    searched_near = cell("tuned near", "searched", near)
    searched_far = cell("tuned far", "searched", far)
    recovered = cell("recovered", "searched", window)
    pairs = [
        (
            "the searched list against YaRN, untouched",
            cell("untouched near", "searched", near),
            cell("untouched near", "yarn", near),
        ),
        (
            "tuned with the searched list against untouched, under that list",
            searched_near,
            cell("untouched near", "searched", near),
        ),
        (
            "tuned with the searched list, under it, against tuned with YaRN's, under that",
            searched_near,
            cell("yarn near", "yarn", near),
        ),
        (
            "the list of the second search against YaRN, tuned with the searched list",
            searched_far,
            cell("tuned far", "yarn", far),
        ),
        (
            "the list of the second search, tuned with the searched list, against YaRN, tuned "
            "with YaRN's",
            searched_far,
            cell("yarn far", "yarn", far),
        ),
        ("the recovered list, tuned, against the untouched model", recovered, untouched),
        ("the recovered list, tuned, against as many steps at the first window", recovered, longer),
        ("as many steps at the first window against the untouched model", longer, untouched),
        (
            "the list of the second search, tuned, against the untouched model",
            cell("tuned far", "searched", window),
            untouched,
        ),
    ]
    lines = []
    for what, cell, reference in pairs:
        if cell in cells and reference in cells:
            lines.append(f"- At {cell[2]:,}, {what}: {difference(cells[cell], cells[reference])}.")
    return lines


def write_csv(file: Path, cells: Cells) -> None:
    lines = ["model,positions,tokens,perplexity,standard_error,blocks"]
    for (section, row, tokens), cell in cells.items():
        error = cell.perplexity * cell.standard_error
        lines.append(f'"{section}",{row},{tokens},{cell.perplexity!r},{error!r},{len(cell.blocks)}')
    finetune_state.write_text(file, "\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--history", type=Path, required=True, help="search.h5 of the campaign")
    parser.add_argument(
        "--documents",
        type=Path,
        default=Path("documents/demo-campaign.h5"),
        help="whose held-out documents are measured (default: %(default)s)",
    )
    for name, folder, text in (
        ("base", "models/demo", "the untouched model"),
        ("tuned", "models/demo-2048", "tuned with the searched factors"),
        ("tuned-yarn", "models/demo-2048-yarn", "tuned with YaRN's factors"),
        ("tuned-short", "models/demo-2048-short", "trained as many steps at the first window"),
    ):
        parser.add_argument(
            f"--{name}", type=Path, default=Path(folder), help=f"{text} (default: %(default)s)"
        )
    parser.add_argument(
        "--lengths",
        type=lambda text: sorted(int(word) for word in text.split(",")),
        help="columns in tokens, with commas between (default: twice as long each from the first "
        "window to the first target, and the second target)",
    )
    parser.add_argument(
        "--program",
        type=shlex.split,
        default=["build/release/longrope"],
        help="with its launcher, if any (default: build/release/longrope)",
    )
    parser.add_argument(
        "--kept-only", action="store_true", help="measure nothing; print what there is"
    )
    arguments = parser.parse_args()
    try:
        sections = sections_of(arguments)
        meter = Meter(arguments.program, arguments.documents, arguments.history.parent / "cells")
        cells: Cells = {}
        for section in sections.values():
            for tokens in section.lengths:
                if arguments.kept_only and not meter.has(section, tokens):
                    continue
                for row, cell in meter.measure(section, tokens).items():
                    cells[section.title, row, tokens] = cell
    except (
        TableError,
        rescale_factors.FactorsError,
        finetune_state.StateError,
        tokenize_documents.DocumentsError,
        OSError,
    ) as error:
        print(f"campaign_table: {error}", file=sys.stderr)
        return 1
    print(markdown(list(sections.values()), cells), end="\n\n")
    print("\n".join(comparisons(sections, cells)))
    write_csv(arguments.history.parent / "table.csv", cells)
    return 0


if __name__ == "__main__":
    sys.exit(main())
