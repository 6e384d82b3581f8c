#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and checks the GPU backend on a machine with a GPU; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
JOBS=${JOBS:-$(nproc)}                            # compilers and tests at a time
ROW_POSITIONS=${ROW_POSITIONS:-2048000}           # length of the document of the attention row
POSITIONS=${POSITIONS:-4096,32768,131072,262144}  # lengths that are timed
LAYERS=${LAYERS:-4}                               # of the timed model; LLaMA2-7B has 32
SUITE_SECONDS=${SUITE_SECONDS:-240}               # for the whole suite
SANITIZER_SECONDS=${SANITIZER_SECONDS:-60}        # for each tool of compute-sanitizer

usage() {
    cat <<HELP
Builds longrope with its GPU backend and checks it on this machine's GPU: the whole test-suite with
NVIDIA's libraries, compute-sanitizer's memcheck and racecheck over the GPU tests, a row of attention
at the end of a document of $ROW_POSITIONS tokens against the CPU, and tokens per second with the
share of the device's peak at $POSITIONS tokens. Writes one JSON report. Takes less than ten
minutes and nothing from the network: scripts/install_dependencies.sh --cuda first.

usage: scripts/check_gpu.sh [--output FILE]

  --output FILE   the report (default docs/gpu/DATE-DEVICE.json)
  --help          this text

Environment: JOBS=$JOBS  ROW_POSITIONS=$ROW_POSITIONS  POSITIONS=$POSITIONS  LAYERS=$LAYERS
             SUITE_SECONDS=$SUITE_SECONDS  SANITIZER_SECONDS=$SANITIZER_SECONDS  CUDA_VISIBLE_DEVICES

exit status: 0 all passed, 1 something failed (the report says what), 2 usage, 77 no GPU
HELP
}

say() { printf 'check_gpu: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

output=
while [ $# -gt 0 ]; do
    case $1 in
        --output) [ $# -ge 2 ] || { usage >&2; say "--output takes a file"; exit 2; }; output=$2; shift ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; say "unknown argument: $1"; exit 2 ;;
    esac
    shift
done
[ -z "$output" ] || output=$(realpath -m -- "$output")

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# What the driver makes of a machine without one is told before anything is built.
if ! [ -e /dev/nvidiactl ] && ! command -v nvidia-smi >/dev/null; then
    say "no GPU: neither /dev/nvidiactl nor nvidia-smi is there, so that NVIDIA's driver is not"
    exit 77
fi
if [ "$(id -u)" -eq 0 ]; then  # Open MPI asks root whether it is meant
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi

build=build/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Runs a step, keeps its output, and notes its name, exit status and seconds for the report.
step() {
    local name=$1 begun=$SECONDS status=0
    shift
    say "$name"
    "$@" >"$work/$name.log" 2>&1 || status=$?
    printf '%s %s %s\n' "$name" "$status" "$((SECONDS - begun))" >>"$work/steps"
    if [ $status -ne 0 ]; then
        tail -n 30 "$work/$name.log" >&2
        say "$name: exit status $status after $((SECONDS - begun)) s (its last lines are above)"
    fi
    return $status
}

step build scripts/build.sh --preset release -- -DLONGROPE_CUDA=ON -DLONGROPE_TESTS=ON ||
    fail "the GPU backend could not be built"

"$build/longrope" devices >"$work/devices.txt" || fail "longrope devices failed"
"$build/longrope" devices --json >"$work/devices.json"
if ! grep -q '"bf16":"cuda"' "$work/devices.json"; then
    cat "$work/devices.txt" >&2
    say "no GPU that can be taken: the line \"cuda\" above says why"
    exit 77
fi

failed=0
# First what is new on a GPU; then everything else.
step gpu_tests ctest --preset release --label-regex '^gpu$' --no-tests=error \
    --output-junit "$work/gpu_tests.xml" || failed=1
step measure "$build/gpu_check" --row-positions "$ROW_POSITIONS" --positions "$POSITIONS" \
    --layers "$LAYERS" || failed=1
sanitizer=$(command -v compute-sanitizer ||
    ls /usr/local/cuda/bin/compute-sanitizer /usr/local/cuda/compute-sanitizer/compute-sanitizer 2>/dev/null) || true
sanitizer=${sanitizer%%$'\n'*}
if [ -n "$sanitizer" ]; then
    # Calls that CUDA refuses are no finding: the program checks each one, and a test provokes some.
    # Races are looked for in our kernels alone; memory that NVIDIA's reach is ours, too.
    for tool in "memcheck --report-api-errors no" "racecheck --kernel-name kernel_substring=longrope"; do
        # Two hundred thousand rows under a sanitizer take too long.
        # shellcheck disable=SC2086
        step "${tool%% *}" timeout "$SANITIZER_SECONDS" "$sanitizer" --tool $tool --error-exitcode 9 \
            "$build/gpu_tests" '--test-case-exclude=*long document*' || failed=1
    done
else
    say "no compute-sanitizer: memcheck and racecheck are left out"
fi
step suite timeout "$SUITE_SECONDS" ctest --preset release --parallel "$JOBS" \
    --label-exclude '^(slow|gpu)$' --output-junit "$work/suite.xml" || failed=1

python3 scripts/gpu_report.py --work "$work" --failed "$failed" ${output:+--output "$output"} ||
    fail "the report could not be written"
exit $failed
