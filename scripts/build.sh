#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Configures and builds; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
JOBS=${JOBS:-$(nproc)}   # compilers at a time; one takes up to 1 GB of memory

usage() {
    cat <<HELP
Configures and builds longrope in build/NAME.

usage: scripts/build.sh [--preset NAME] [--target TARGET] [-- CMAKE-OPTION...]

  --preset NAME     release (default), debug, sanitize or thread
  --target TARGET   build this alone, for example longrope
  --help            this text

Environment: JOBS=$JOBS
HELP
}

say() { printf 'build: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

preset=release
target=()
while [ $# -gt 0 ]; do
    case $1 in
        --preset | --target)
            [ $# -ge 2 ] || { usage >&2; say "$1 takes a name"; exit 2; }
            if [ "$1" = --preset ]; then preset=$2; else target=(--target "$2"); fi
            shift ;;
        --) shift; break ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; say "unknown argument: $1"; exit 2 ;;
    esac
    shift
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
folder=build/$preset
if [ -e "$folder" ] && [ ! -w "$folder" ]; then
    fail "cannot write to $folder, which belongs to $(stat -c %U "$folder"): remove it, or build as that user"
fi
# A checkout that was copied or moved keeps a cache that names its old place.
fresh=()
if [ -e "$folder/CMakeCache.txt" ] &&
    ! [ "$(sed -n 's/^CMAKE_HOME_DIRECTORY:INTERNAL=//p' "$folder/CMakeCache.txt")" -ef . ]; then
    say "$folder was configured for another folder: starting anew"
    fresh=(--fresh)
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
cmake --preset "$preset" "${fresh[@]}" "$@" >"$log" 2>&1 ||
    { cat "$log" >&2; fail "CMake could not configure (above)"; }
cmake --build --preset "$preset" --parallel "$JOBS" "${target[@]}" ||
    fail "the build failed (above); a compiler that was killed wants more memory: JOBS=1"
