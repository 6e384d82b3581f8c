#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# From an empty clone to a finished search; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
RANKS=${RANKS:-$(nproc)}   # evaluators at a time
MPIRUN=${MPIRUN:-mpirun}

readonly config=configs/demo.toml longrope=build/release/longrope
readonly run_directory=${LONGROPE_RUN_DIRECTORY:-runs/demo}  # the program's own variable over the file's value

usage() {
    cat <<HELP
The demo, from an empty clone: installs the dependencies, builds, makes the demo's documents from
public-domain books, searches, and prints the held-out table of the search.

usage: scripts/quickstart.sh [--ranks N]

  --ranks N   evaluators at a time (default: the cores of this machine, $(nproc))
  --help      this text

Ctrl-C stops the search so that the same command continues it; a second Ctrl-C stops at once, and
costs at most the last seconds of work. When the search is complete, its results are printed again.

Environment: RANKS  MPIRUN=$MPIRUN; settings of the search as LONGROPE_<TABLE>_<KEY>, see docs/configuration.md
HELP
}

say() { printf 'quickstart: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

while [ $# -gt 0 ]; do
    case $1 in
        --ranks) [ $# -ge 2 ] || { usage >&2; say "--ranks takes a number"; exit 2; }; RANKS=$2; shift ;;
        --ranks=*) RANKS=${1#*=} ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; say "unknown argument: $1"; exit 2 ;;
    esac
    shift
done
[[ $RANKS =~ ^[1-9][0-9]*$ ]] || { say "--ranks $RANKS: a number of at least 1 is needed"; exit 2; }

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=scripts/mpi_search.bash
. scripts/mpi_search.bash

begun=$SECONDS
say "1/4 dependencies"
scripts/install_dependencies.sh

say "2/4 building longrope (some minutes the first time; $(nproc) cores)"
scripts/build.sh --preset release --target longrope >&2

say "3/4 the demo's documents"
.venv/bin/python scripts/prepare_demo.py >&2 || fail "the documents could not be made (above)"

check=$("$longrope" search --check --json "$config") || exit $?  # it has said what is wrong
if [ "$(field complete <<<"$check")" = True ]; then
    say "4/4 nothing to search: the results in $run_directory; 'longrope' below is $longrope"
    exec "$longrope" search "$config"
fi

say "4/4 searching with $RANKS ranks; the first three steps took $((SECONDS - begun)) s"
"$longrope" search --check --ranks "$RANKS" "$config" >&2
mpirun_options
say "${mpi[*]} $longrope search $config"
begun=$SECONDS
search

# mpirun's own exit status says nothing under --enable-recovery.
case $("$longrope" status --json "$run_directory" 2>/dev/null | field state || echo none) in
    complete)
        say "done after $((SECONDS - begun)) s of searching; 'longrope' above is $longrope" ;;
    none)
        fail "the search did not begin; its message is above" ;;
    failed)
        fail "the search failed; its message is above and in $run_directory/log.txt" ;;
    *)
        say "the search is not complete; everything that was stored is in $run_directory.
Run scripts/quickstart.sh again to continue it."
        exit 75 ;;
esac
