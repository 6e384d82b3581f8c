#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Builds and checks the GPU backend on a machine with a GPU; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
JOBS=${JOBS:-$(nproc)}                            # compilers and tests at a time
ROW_POSITIONS=${ROW_POSITIONS:-2048000}           # length of the document of the attention row
POSITIONS=${POSITIONS:-4096,32768,131072,262144}  # lengths that are timed
LAYERS=${LAYERS:-4}                               # of the timed model; LLaMA2-7B has 32
TEST_SECONDS=${TEST_SECONDS:-150}                 # for the GPU tests
MEASURE_SECONDS=${MEASURE_SECONDS:-150}           # for attention row and speed
HOLDER_SECONDS=${HOLDER_SECONDS:-60}              # until a process that computes must be named
SUITE_SECONDS=${SUITE_SECONDS:-240}               # for the whole suite
SANITIZER_SECONDS=${SANITIZER_SECONDS:-100}       # for each tool of compute-sanitizer
WORK=${WORK:-}                                    # folder to keep the outputs of the steps in

usage() {
    cat <<HELP
Builds longrope with its GPU backend and checks it on this machine's GPU: the GPU tests, a row of
attention at the end of a document of $ROW_POSITIONS tokens against the CPU, tokens per second with
the share of the device's peak at $POSITIONS tokens, whether a process that holds the
device is named, compute-sanitizer's memcheck and initcheck over the GPU tests, and the whole
test-suite with NVIDIA's libraries. Writes one JSON report, anew after each step. Takes nothing
from the network: scripts/install_dependencies.sh --cuda first.

usage: scripts/check_gpu.sh [--packed FILE] [--output FILE]

  --packed FILE   build nothing, run what scripts/pack_gpu_check.sh packed; without the suite
  --output FILE   the report (default docs/gpu/DATE-DEVICE.json)
  --help          this text

Environment: JOBS=$JOBS  ROW_POSITIONS=$ROW_POSITIONS  POSITIONS=$POSITIONS  LAYERS=$LAYERS
             TEST_SECONDS=$TEST_SECONDS  MEASURE_SECONDS=$MEASURE_SECONDS  SANITIZER_SECONDS=$SANITIZER_SECONDS
             HOLDER_SECONDS=$HOLDER_SECONDS  SUITE_SECONDS=$SUITE_SECONDS  WORK=$WORK  CUDA_VISIBLE_DEVICES

exit status: 0 all passed, 1 something failed (the report says what), 2 usage, 77 no GPU
HELP
}

say() { printf 'check_gpu: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

output=
packed=
while [ $# -gt 0 ]; do
    case $1 in
        --output | --packed)
            [ $# -ge 2 ] || { usage >&2; say "$1 takes a file"; exit 2; }
            if [ "$1" = --output ]; then output=$2; else packed=$2; fi
            shift ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; say "unknown argument: $1"; exit 2 ;;
    esac
    shift
done
[ -z "$output" ] || output=$(realpath -m -- "$output")
[ -z "$packed" ] || packed=$(realpath -e -- "$packed") || fail "--packed: no such file"

[ -z "$WORK" ] || { mkdir -p "$WORK" && WORK=$(realpath -e -- "$WORK"); }

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# What the driver makes of a machine without one is told before anything is built.
if ! [ -e /dev/nvidiactl ] && ! command -v nvidia-smi >/dev/null; then
    say "no GPU: neither /dev/nvidiactl nor nvidia-smi is there, so that NVIDIA's driver is not"
    exit 77
fi
if [ "$(id -u)" -eq 0 ]; then  # Open MPI asks root whether it is meant
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
PATH=$PATH:/usr/local/cuda/bin:/usr/local/cuda/compute-sanitizer

temporary=$(mktemp -d)
holder=
trap '[ -z "$holder" ] || kill "$holder" 2>/dev/null; rm -rf "$temporary"' EXIT
work=${WORK:-$temporary}
rm -f "$work"/{gpu_tests,suite}.xml "$work"/*.log  # of an earlier run
: >"$work/steps"

failed=0
report() {
    python3 scripts/gpu_report.py --work "$work" --failed "$failed" --commit "$commit" \
        ${output:+--output "$output"}
}

# Runs a step, keeps its output, and notes its name, exit status and seconds for the report.
step() {
    local name=$1 begun=$SECONDS status=0
    shift
    say "$name"
    "$@" >"$work/$name.log" 2>&1 || status=$?
    printf '%s %s %s\n' "$name" "$status" "$((SECONDS - begun))" >>"$work/steps"
    if [ $status -ne 0 ]; then
        failed=1
        tail -n 30 "$work/$name.log" >&2
        [ $status -ne 124 ] || say "$name: its time was up: it was not finished"
        say "$name: exit status $status after $((SECONDS - begun)) s (its last lines are above)"
    fi
    return $status
}

# A step whose outcome is in the report at once: who ends this script early loses nothing.
reported_step() {
    step "$@" || true
    report >/dev/null || fail "the report could not be written"
}

# Adds folders of NVIDIA's libraries that the loader does not know: of a toolkit, or of Python's packages.
find_nvidia_libraries() {
    local library folder known
    known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p)
    for library in libcublasLt.so.13 libcudnn.so.9 libnvrtc.so.13; do  # NVRTC's builtins lie beside it
        [[ $known != *"$library"* ]] || continue
        for folder in /usr/local/cuda/lib64 /usr/local/cuda/lib \
            $(python3 -c 'import glob, site, sys
for packages in {*site.getsitepackages(), *(path for path in sys.path if path)}:
    print(*glob.glob(packages + "/nvidia/*/lib"))' 2>/dev/null); do
            if [ -e "$folder/$library" ]; then
                LD_LIBRARY_PATH=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$folder
                continue 2
            fi
        done
        fail "$library is neither known to the loader nor in /usr/local/cuda or Python's packages"
    done
    export LD_LIBRARY_PATH
}

# That what `longrope devices` says names a process that holds memory of the device.
# shellcheck disable=SC2317  # called by step
names_a_holder() {
    local waited
    "$build/gpu_check" --row-positions 0 --positions 262144 --layers 4 >/dev/null 2>&1 &
    holder=$!
    for ((waited = 0; waited < HOLDER_SECONDS; ++waited)); do
        "$build/longrope" devices --json >"$work/held.json"
        if grep -Eq "\"pid\":$holder,\"program\":\"gpu_check\",\"bytes\":[1-9][0-9]{7}" "$work/held.json"; then
            "$build/longrope" devices
            kill "$holder"
            wait "$holder" || true
            holder=
            return 0
        fi
        kill -0 "$holder" 2>/dev/null || break
        sleep 1
    done
    cat "$work/held.json"
    echo "pid $holder, which computed on the device, was not named within $waited s"
    kill "$holder" 2>/dev/null || true
    wait "$holder" || true
    holder=
    # The kernel's number of the host's processes. The driver says the host's, or none, to any others.
    [ "$(readlink /proc/self/ns/pid)" != "pid:[4026531836]" ] || return 1
    echo "skipped: this is a container with processes of its own, which the driver does not name"
}

if [ -n "$packed" ]; then
    build=$temporary/packed
    mkdir "$build"
    tar -C "$build" -xf "$packed" || fail "$packed could not be unpacked"
    find_nvidia_libraries
    export LD_LIBRARY_PATH=$build/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
    commit=$(cat "$build/commit")
else
    build=build/release
    step build scripts/build.sh --preset release -- -DLONGROPE_CUDA=ON -DLONGROPE_TESTS=ON ||
        fail "the GPU backend could not be built"
    commit=$(git describe --always --dirty --abbrev=12 2>/dev/null || echo unknown)
fi

"$build/longrope" devices >"$work/devices.txt" || fail "longrope devices failed"
"$build/longrope" devices --json >"$work/devices.json"
if ! grep -q '"bf16":"cuda"' "$work/devices.json"; then
    cat "$work/devices.txt" >&2
    # A backend that should be there, and is not, is no machine without a GPU.
    ! grep -q 'GPU backend\|cannot be loaded\|another build' "$work/devices.txt" ||
        fail "the GPU backend is not taken: the line \"cuda\" above says why"
    say "no GPU that can be taken: the line \"cuda\" above says why"
    exit 77
fi

# First what is new on a GPU; then everything else.
reported_step gpu_tests timeout -k 10 "$TEST_SECONDS" "$build/gpu_tests" --reporters=junit --out="$work/gpu_tests.xml"
reported_step measure timeout -k 10 "$MEASURE_SECONDS" "$build/gpu_check" --row-positions "$ROW_POSITIONS" \
    --positions "$POSITIONS" --layers "$LAYERS"
reported_step holder names_a_holder
if command -v compute-sanitizer >/dev/null; then
    # Calls that CUDA refuses are no finding: the program checks each one, and a test provokes some.
    # What is read before it is written is looked for in our kernels alone; memory that NVIDIA's
    # reach is ours, too. Two hundred thousand rows under a sanitizer take too long.
    for tool in "memcheck --report-api-errors no" "initcheck --kernel-name kernel_substring=longrope"; do
        # shellcheck disable=SC2086
        reported_step "${tool%% *}" timeout -k 10 "$SANITIZER_SECONDS" compute-sanitizer --tool $tool \
            --error-exitcode 9 "$build/gpu_tests" '--test-case-exclude=*long document*'
    done
else
    say "no compute-sanitizer: memcheck and initcheck are left out"
fi
[ -n "$packed" ] ||
    reported_step suite timeout -k 10 "$SUITE_SECONDS" ctest --preset release --parallel "$JOBS" \
        --label-exclude '^(slow|gpu)$' --output-junit "$work/suite.xml"

report || fail "the report could not be written"
exit $failed
