#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo as a campaign: search, fine-tune, search again, recover, compare; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
RANKS=${RANKS:-$(nproc)}                # evaluators at a time, and threads of a training
MPIRUN=${MPIRUN:-mpirun}
TRAINING_PYTHON=${TRAINING_PYTHON:-}    # with scripts/requirements-training.txt; empty: .venv, installed into

readonly config=configs/demo-campaign.toml settings=configs/finetune/demo.toml longrope=build/release/longrope
readonly run_directory=${LONGROPE_RUN_DIRECTORY:-runs/demo-campaign}
readonly base=models/demo tuned=models/demo-2048 tuned_yarn=models/demo-2048-yarn tuned_short=models/demo-256

usage() {
    cat <<HELP
The demo as a campaign: a search from 256 to 2,048 tokens, fine-tuning under its factors, a second
search on the tuned model to 16,384, a recovery search for 256, and a table that compares them with
YaRN, before and after as many steps of training, and with training at 256 tokens alone. Installs
(PyTorch too), builds and prepares what is missing.

usage: scripts/demo_campaign.sh [--ranks N]

  --ranks N   evaluators at a time (default: the cores of this machine, $(nproc))
  --help      this text

Stopped at any point, the same command goes on. The history is $run_directory/search.h5, the models are
$tuned, $tuned_yarn and $tuned_short; remove them to begin again.

Environment: RANKS  MPIRUN=$MPIRUN  TRAINING_PYTHON=$TRAINING_PYTHON
HELP
}

say() { printf 'demo_campaign: %s\n' "$*" >&2; }
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

state() { "$longrope" status --json "$run_directory" 2>/dev/null | field state || echo none; }

# Until a stage waits for its model, or all are complete.
search_on() {
    if [ "$(state)" = complete ]; then return; fi
    search
    case $(state) in
        complete | waiting) ;;
        none) fail "the search did not begin; its message is above" ;;
        failed) fail "the search failed; its message is above and in $run_directory/log.txt" ;;
        *)
            say "the search is not complete; the same command goes on"
            exit 75 ;;
    esac
}

tune() {
    "$TRAINING_PYTHON" scripts/finetune.py --config "$settings" --threads "$RANKS" "$@" || {
        local status=$?
        [ $status -ne 75 ] || say "the training is not complete; the same command goes on"
        exit $status
    }
}

begun=$SECONDS
step() { say "$1 ($((SECONDS - begun)) s since the dependencies were there)"; }

say "1/7 dependencies, program, documents"
if [ -z "$TRAINING_PYTHON" ]; then
    scripts/install_dependencies.sh --training
    TRAINING_PYTHON=.venv/bin/python
else
    scripts/install_dependencies.sh
fi
scripts/build.sh --preset release --target longrope >&2
.venv/bin/python scripts/prepare_demo.py --campaign >&2 || fail "the documents could not be made (above)"
.venv/bin/python scripts/prepare_demo_training.py >&2 || fail "the training documents could not be made (above)"
mpirun_options

begun=$SECONDS
step "2/7 first search"
search_on

step "3/7 fine-tuning under the searched factors"
command=$("$longrope" status --json "$run_directory" | .venv/bin/python -c '
import json, sys
print(json.load(sys.stdin).get("waiting_for", {}).get("command", ""))')
if [ -n "$command" ]; then
    say "$command"
    read -r -a words <<<"${command#scripts/finetune.py }"
    tune "${words[@]}"
fi

step "4/7 second search and recovery"
search_on

step "5/7 for comparison: as many steps under YaRN's factors"
tune --model "$base" --output "$tuned_yarn" --factors yarn --target-tokens 2048

step "6/7 for comparison: as many steps and tokens at the first window"
tune --model "$base" --output "$tuned_short" --factors none --target-tokens 256 --set batch=8 --set micro_batch=8

step "7/7 table"
.venv/bin/python scripts/campaign_table.py --history "$run_directory/search.h5" --base "$base" --tuned "$tuned" \
    --tuned-yarn "$tuned_yarn" --tuned-short "$tuned_short" --program "${mpi[*]} $longrope"
step "done"
