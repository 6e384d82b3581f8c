#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs, builds and tests; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
JOBS=${JOBS:-$(nproc)}   # compilers and tests at a time

usage() {
    cat <<HELP
Installs the dependencies, builds with warnings as errors, prepares the demo's documents and runs
the tests. Before the end each skipped test is named with its reason; the last line is CTest's
summary, the exit status 0 if every test passed.

usage: scripts/test.sh [--full] [--preset NAME]

  --full          also the slow tests (label "slow")
  --preset NAME   release (default), debug, sanitize or thread
  --help          this text

Environment: JOBS=$JOBS
             TRAINING_PYTHON=${TRAINING_PYTHON:-}  a Python with scripts/requirements-training.txt,
             if .venv has not got them (scripts/install_dependencies.sh --training)
One test alone, after a build:  ctest --preset release -R 'crossover'
HELP
}

say() { printf 'test: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

preset=release
selection=(--label-exclude '^slow$')
while [ $# -gt 0 ]; do
    case $1 in
        --full) selection=() ;;
        --preset) [ $# -ge 2 ] || { usage >&2; say "--preset takes a name"; exit 2; }; preset=$2; shift ;;
        --preset=*) preset=${1#*=} ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; say "unknown argument: $1"; exit 2 ;;
    esac
    shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
if [ "$(id -u)" -eq 0 ]; then  # Open MPI asks root whether it is meant
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

scripts/install_dependencies.sh
scripts/build.sh --preset "$preset" -- -DLONGROPE_TESTS=ON -DLONGROPE_WARNINGS_AS_ERRORS=ON
.venv/bin/python scripts/prepare_demo.py >&2 || fail "the tests with the demo model need its documents (above)"

# Where the sanitizers of the presets write, so that what they find in a process far from CTest counts.
reports=build/$preset/reports
rm -rf "$reports"
mkdir "$reports"

log=build/$preset/test-output.txt
begun=$SECONDS status=0
say "the tests; dependencies, build and documents took $begun s"
ctest --preset "$preset" --parallel "$JOBS" --no-tests=error "${selection[@]}" \
    --output-junit "$PWD/build/$preset/tests.xml" --test-output-size-passed 1000000 \
    </dev/null 2>&1 | tee "$log" || status=$?
say "the tests took $((SECONDS - begun)) s; their output is in $log"
if [ -n "$(ls "$reports")" ]; then
    head -n 60 "$reports"/*
    say "the sanitizers reported $(ls "$reports" | wc -l) processes (above, and in $reports)"
    [ $status -ne 0 ] || status=1
fi
.venv/bin/python scripts/list_skipped_tests.py "build/$preset/tests.xml" || [ $status -ne 0 ] || status=1
# CTest lists skipped and failed tests after its summary: the summary once more, as the last line.
grep -E '^[0-9]+% tests passed' "$log" || { say "CTest printed no summary"; [ $status -ne 0 ] || status=1; }
exit $status
