#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Feeds damaged input to what reads files and messages; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
JOBS=${JOBS:-$(nproc)}          # compilers at a time; fuzzers run one after the other
MEMORY_MB=${MEMORY_MB:-2048}    # one that needs more is a finding
DEADLINE=${DEADLINE:-20}        # seconds; an input that takes longer is a finding

readonly coverage_guided=(configuration setting model_config safetensors frames messages)
readonly mutated=(documents history)

usage() {
    cat <<HELP
Builds the fuzzers and runs each for a while: libFuzzer with the address and undefined-behaviour
sanitizers on ${coverage_guided[*]};
random damage, read in child processes, on ${mutated[*]} (HDF5). The end is a table; the
exit status is 1 if there was a finding, 77 if clang or its libFuzzer is not installed.

usage: scripts/fuzz.sh [--seconds N] [--seed N] [TARGET...]

  --seconds N   for each target (default 60)
  --seed N      another sequence of inputs (default 1)
  --help        this text

Findings go to build/fuzz/findings/TARGET, and what libFuzzer keeps to build/fuzz/corpus/TARGET.
One again:  build/fuzz/fuzz_TARGET FILE    build/release/fuzz_replay TARGET FILE

Environment: JOBS=$JOBS  MEMORY_MB=$MEMORY_MB  DEADLINE=$DEADLINE
HELP
}

say() { printf 'fuzz: %s\n' "$*" >&2; }
is_one_of() { local name=$1; shift; [[ " $* " == *" $name "* ]]; }

seconds=60 seed=1
targets=()
while [ $# -gt 0 ]; do
    case $1 in
        --seconds | --seed)
            [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { usage >&2; say "$1 takes a number"; exit 2; }
            if [ "$1" = --seconds ]; then seconds=$2; else seed=$2; fi
            shift ;;
        --help | -h) usage; exit 0 ;;
        *)
            is_one_of "$1" "${coverage_guided[@]}" "${mutated[@]}" ||
                { usage >&2; say "unknown argument or target: $1"; exit 2; }
            targets+=("$1") ;;
    esac
    shift
done
[ ${#targets[@]} -gt 0 ] || targets=("${coverage_guided[@]}" "${mutated[@]}")

cd "$(dirname "${BASH_SOURCE[0]}")/.."
here=build/fuzz

can_fuzz() {
    command -v clang++ >/dev/null || return 1
    local probe
    probe=$(mktemp)
    printf 'extern "C" int LLVMFuzzerTestOneInput(const unsigned char*, unsigned long) { return 0; }\n' |
        clang++ -fsanitize=fuzzer,address -x c++ - -o "$probe" >/dev/null 2>&1
    local status=$?
    rm -f "$probe"
    return $status
}

guided=() programs=()
for target in "${targets[@]}"; do
    if is_one_of "$target" "${coverage_guided[@]}"; then guided+=("fuzz_$target"); else programs+=(fuzz_hdf5_mutations); fi
done
if [ ${#guided[@]} -gt 0 ]; then
    if ! can_fuzz; then
        echo 'skipped: no clang with libFuzzer; scripts/install_dependencies.sh --fuzzing installs it'
        exit 77
    fi
    scripts/build.sh --preset fuzz >&2
fi
if [ ${#programs[@]} -gt 0 ]; then scripts/build.sh --target fuzz_hdf5_mutations -- -DLONGROPE_TESTS=ON >&2; fi

# Each prints "executions findings".
run_guided() {
    local target=$1 log=$here/findings/$1.log corpus=$here/corpus/$1 findings=$here/findings/$1 longest=4096
    [ "$target" != frames ] || longest=16384
    mkdir -p "$corpus" "$findings"
    "$here/fuzz_$target" -max_total_time="$seconds" -seed="$seed" -timeout="$DEADLINE" \
        -rss_limit_mb="$MEMORY_MB" -max_len=$longest -print_final_stats=1 \
        -artifact_prefix="$findings/" "$corpus" "tests/fuzz/corpus/$target" >"$log" 2>&1 || failed=yes
    sed -n 's/^stat::number_of_executed_units: *//p' "$log"
}

run_mutated() {
    local target=$1 log=$here/findings/$1.log
    mkdir -p "$here/findings/$target"
    build/release/fuzz_hdf5_mutations "$target" --seconds "$seconds" --seed "$seed" \
        --findings "$here/findings/$target" tests/fuzz/corpus/"$target"/*.h5 >"$log" 2>&1 || failed=yes
    sed -n 's/^[a-z]*: \([0-9]*\) mutations,.*/\1/p' "$log"
}

mkdir -p "$here/findings"
table=() status=0
for target in "${targets[@]}"; do
    say "$target, $seconds s"
    rm -rf "$here/findings/$target"
    failed=no
    if is_one_of "$target" "${coverage_guided[@]}"; then
        run_guided "$target" >"$here/executions"
    else
        run_mutated "$target" >"$here/executions"
    fi
    executions=$(cat "$here/executions")
    findings=$(find "$here/findings/$target" -type f | wc -l)
    if [ $failed = yes ] && [ "$findings" -eq 0 ]; then findings="failed"; fi
    if [ "$findings" != 0 ] || [ $failed = yes ] || [ -z "$executions" ]; then
        status=1
        say "$target: see $here/findings/$target.log; its end:"
        tail -n 30 "$here/findings/$target.log" >&2
    fi
    table+=("$(printf '%-14s %12s %9s' "$target" "${executions:-?}" "$findings")")
done
rm -f "$here/executions"
printf '%-14s %12s %9s\n' target executions findings
printf '%s\n' "${table[@]}"
exit $status
