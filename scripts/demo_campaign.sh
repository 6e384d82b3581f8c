#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The demo as a campaign: search, fine-tune, search again, recover, compare; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
RANKS=${RANKS:-$(nproc)}                # evaluators at a time, and threads of a training
MPIRUN=${MPIRUN:-mpirun}
TRAINING_PYTHON=${TRAINING_PYTHON:-}    # with scripts/requirements-training.txt; empty: .venv, installed into
LONGROPE=${LONGROPE:-}                  # the program; empty: build/release/longrope, built
CONFIG=${CONFIG:-configs/demo-campaign.toml}      # three stages: a search, a second one, a recovery
SETTINGS=${SETTINGS:-configs/finetune/demo.toml}  # of the training
SHORT_BATCH=${SHORT_BATCH:-8}           # segments a step of the training at the first window, for as many tokens

usage() {
    cat <<HELP
The demo as a campaign: a search from 256 to 2,048 tokens, fine-tuning under its factors, a second
search on the tuned model to 16,384, a recovery search for 256, and a table that compares them with
YaRN, before and after as many steps of training, and with training at 256 tokens alone. Installs
(PyTorch too), builds and prepares what is missing.

usage: scripts/demo_campaign.sh [--ranks N]

  --ranks N   evaluators at a time (default: the cores of this machine, $(nproc))
  --help      this text

Stopped at any point, the same command goes on. The history is in the run directory of CONFIG, the models are that
of its second stage, and two beside it whose names end in -yarn and -short; remove them to begin again.

Environment: RANKS  MPIRUN=$MPIRUN  TRAINING_PYTHON=$TRAINING_PYTHON  LONGROPE=$LONGROPE
  CONFIG=$CONFIG  SETTINGS=$SETTINGS  SHORT_BATCH=$SHORT_BATCH
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
config=$CONFIG longrope=${LONGROPE:-build/release/longrope}

# What CONFIG says: base, documents, run directory, tuned model, first stage, window.
read_config() {
    "${PYTHON:-python3}" - "$config" <<'PYTHON'
import json, sys, tomllib
try:
    with open(sys.argv[1], "rb") as file:
        config = tomllib.load(file)
    first, second, recovery = config["stage"]
    base = config["model"]["path"]
    with open(f"{base}/config.json", encoding="utf-8") as file:
        window = json.load(file)["max_position_embeddings"]
    print(base, config["documents"]["path"], config["run"]["directory"], second["model"],
          first["name"], window, sep="\n")
except (OSError, ValueError, KeyError) as error:
    sys.exit(f"demo_campaign: {sys.argv[1]} is no campaign of three stages: {error!r}")
PYTHON
}

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
    # The settings last: the command that a search prints names those of its configuration.
    "$TRAINING_PYTHON" scripts/finetune.py --threads "$RANKS" "$@" --config "$SETTINGS" || {
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
[ -n "$LONGROPE" ] || scripts/build.sh --preset release --target longrope >&2
PYTHON=.venv/bin/python
said=$(read_config) || exit 3
{
    read -r base
    read -r documents
    read -r run_directory
    read -r tuned
    read -r first
    read -r window
} <<<"$said"
run_directory=${LONGROPE_RUN_DIRECTORY:-$run_directory}  # the program's own variable over the file's value
if [ "$documents" = documents/demo-campaign.h5 ]; then
    "$PYTHON" scripts/prepare_demo.py --campaign >&2 || fail "the documents could not be made (above)"
    "$PYTHON" scripts/prepare_demo_training.py >&2 || fail "the training documents could not be made (above)"
fi
mpirun_options

begun=$SECONDS
step "2/7 first search"
search_on

step "3/7 fine-tuning under the searched factors"
mapfile -t words < <("$longrope" status --json "$run_directory" | "$PYTHON" -c '
import json, shlex, sys
for word in shlex.split(json.load(sys.stdin).get("waiting_for", {}).get("command", "")):
    print(word)')
if [ ${#words[@]} -gt 0 ]; then  # a Python and the script, which tune() has its own of, and its flags
    say "${words[*]}"
    tune "${words[@]:2}"
fi

step "4/7 second search and recovery"
search_on

step "5/7 for comparison: as many steps under YaRN's factors"
tune --model "$base" --output "$tuned-yarn" --history "$run_directory/search.h5" --stage "$first" --factors yarn

step "6/7 for comparison: as many steps and tokens at the first window"
tune --model "$base" --output "$tuned-short" --factors none --target-tokens "$window" \
    --set "segment_tokens=$window" --set "batch=$SHORT_BATCH" --set "micro_batch=$SHORT_BATCH"

step "7/7 table"
"$PYTHON" scripts/campaign_table.py --history "$run_directory/search.h5" --documents "$documents" \
    --base "$base" --tuned "$tuned" --tuned-yarn "$tuned-yarn" --tuned-short "$tuned-short" --program "${mpi[*]} $longrope"
step "done"
