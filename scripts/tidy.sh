#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs clang-tidy over the sources; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
JOBS=${JOBS:-$(nproc)}                    # files at a time
CLANG_TIDY=${CLANG_TIDY:-.venv/bin/clang-tidy}  # the checks of .clang-tidy are those of version 23

usage() {
    cat <<HELP
Runs clang-tidy with the checks of .clang-tidy over the sources that a build compiles, every finding
an error. A file of the program takes some fifteen seconds, one of the tests four.

usage: scripts/tidy.sh [--preset NAME] [PATH...]

  --preset NAME   whose build folder has the compile commands (default: release); built before
  PATH            files or folders, for example worker or genome/mutation.cpp (default: all)
  --help          this text

Exit status: 0 nothing found, 1 findings, 2 usage, 77 there is no clang-tidy.
Environment: JOBS=$JOBS  CLANG_TIDY=$CLANG_TIDY
HELP
}

say() { printf 'tidy: %s\n' "$*" >&2; }

preset=release
paths=()
while [ $# -gt 0 ]; do
    case $1 in
        --preset) [ $# -ge 2 ] || { usage >&2; say "--preset takes a name"; exit 2; }; preset=$2; shift ;;
        --preset=*) preset=${1#*=} ;;
        --help | -h) usage; exit 0 ;;
        -*) usage >&2; say "unknown argument: $1"; exit 2 ;;
        *) paths+=("${1%/}") ;;
    esac
    shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
command -v "$CLANG_TIDY" >/dev/null || {
    echo "skipped: tidy: $CLANG_TIDY is not there (scripts/install_dependencies.sh --tidy)"
    exit 77
}
commands=build/$preset/compile_commands.json
[ -e "$commands" ] || { say "$commands is not there: scripts/build.sh --preset $preset makes it"; exit 2; }

# The sources of the compile commands that lie in the repository and below the paths given.
sources() {
    python3 - "$commands" "${paths[@]}" <<'PYTHON'
import json, sys
from pathlib import Path
root, wanted = Path.cwd(), [Path(word) for word in sys.argv[2:]]
files = {Path(entry["file"]) for entry in json.load(open(sys.argv[1]))}
files = {file for file in files if file.suffix == ".cpp"}  # nvcc reads .cu, and the checks are those of C++
inside = sorted(file.relative_to(root) for file in files if file.is_relative_to(root))
for file in inside:
    if file.parts[0] != "build" and (not wanted or any(file.is_relative_to(path) for path in wanted)):
        print(file)
PYTHON
}
mapfile -t files < <(sources)
[ ${#files[@]} -gt 0 ] || { say "no source of $commands lies below ${paths[*]}"; exit 2; }

say "${#files[@]} files, $JOBS at a time"
begun=$SECONDS
# Our compiler is GCC: clang does not know all of its warnings, and comes without its omp.h.
arguments=(-p "build/$preset" --quiet --extra-arg=-Wno-unknown-warning-option
    --extra-arg="-idirafter$(g++ -print-file-name=include)")
printf '%s\0' "${files[@]}" | xargs -0 -n 1 -P "$JOBS" "$CLANG_TIDY" "${arguments[@]}" \
    2> >(grep -vE '^[0-9]+ warnings? (generated|treated)' >&2) ||
    { say "findings (above), after $((SECONDS - begun)) s"; exit 1; }
say "nothing found, in $((SECONDS - begun)) s"
