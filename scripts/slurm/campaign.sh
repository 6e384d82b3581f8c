#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Submits a campaign to Slurm: searches and the fine-tunings between them; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
FINETUNE_NODES=${FINETUNE_NODES:-1}
FINETUNE_GPUS_PER_NODE=${FINETUNE_GPUS_PER_NODE:-8}  # a process each; 0: one process on the CPU
FINETUNE_CORES=${FINETUNE_CORES:-32}                 # per node
FINETUNE_MEMORY=${FINETUNE_MEMORY:-}                 # per node, such as 400G; empty: Slurm's default
FINETUNE_TIME=${FINETUNE_TIME:-1-00:00:00}           # the job queues itself again until the model is complete
PARTITION=${PARTITION:-}                             # of all jobs; empty: Slurm's default
FINETUNE_PARTITION=${FINETUNE_PARTITION:-$PARTITION}
ACCOUNT=${ACCOUNT:-}
LONGROPE=${LONGROPE:-}                               # the program; empty: the repository's build, else the one in PATH
PYTHON=${PYTHON:-python3}                            # any version; reads what the program says
TRAINING_PYTHON=${TRAINING_PYTHON:-.venv/bin/python}  # with scripts/requirements-training.txt where jobs run
MODULES=${MODULES:-}                                 # environment modules that all jobs load
RENDEZVOUS_PORT=${RENDEZVOUS_PORT:-}                 # of a fine-tuning on several nodes; empty: 29400

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/slurm/missing_inputs.bash
. "$repository/scripts/slurm/missing_inputs.bash"
if [ -z "$LONGROPE" ]; then
    LONGROPE=$repository/build/release/longrope
    [ -x "$LONGROPE" ] || LONGROPE=$(command -v longrope || echo "$LONGROPE")
fi

usage() {
    cat <<HELP
Submits the jobs of a campaign, each to begin when the one before it has ended well: a search job,
which runs the stages whose model is there; a fine-tuning of each model that is missing; and after
each a search job that goes on.

usage: scripts/slurm/campaign.sh [--dry-run] CONFIG [--tune STAGE SETTINGS BASE OUTPUT]... [-- SBATCH-OPTION...]

  --dry-run   print what would be submitted, and submit nothing
  --tune      a fine-tuning of the folder BASE under the factors of STAGE, by the file SETTINGS, into
              the folder OUTPUT. The first takes the place of those that CONFIG asks for
              (stage.model, stage.finetune); all of them follow one another before the next search:
                --tune 128k configs/finetune/llama2-7b-128k.toml llama2-7b llama2-7b-128k \\
                --tune 256k configs/finetune/llama2-7b-256k.toml llama2-7b-128k llama2-7b-256k
  --          what follows goes into every search job, as by submit.sh: -- --time=1-00:00:00
  --help      this text

Search jobs are sized and submitted by scripts/slurm/submit.sh, whose settings hold for them, as they
are in the environment: on GPUs, GPUS_PER_NODE=8 GPU_DEVICE=h100-80gb. Run it in the folder that the
paths in CONFIG are relative to, the root of the repository; the jobs run there too.

A fine-tuning has a process per GPU, which share a step's batch evenly; FINETUNE_GPUS_PER_NODE=0 is one
process on the CPU, as the demo's settings want it. What a training would refuse is refused here, by
TRAINING_PYTHON with scripts/requirements.txt; PyTorch need only be where the jobs run.

Environment: FINETUNE_NODES=$FINETUNE_NODES FINETUNE_GPUS_PER_NODE=$FINETUNE_GPUS_PER_NODE FINETUNE_CORES=$FINETUNE_CORES
  FINETUNE_MEMORY=$FINETUNE_MEMORY FINETUNE_TIME=$FINETUNE_TIME FINETUNE_PARTITION=$FINETUNE_PARTITION
  PARTITION=$PARTITION ACCOUNT=$ACCOUNT LONGROPE=$LONGROPE PYTHON=$PYTHON
  TRAINING_PYTHON=$TRAINING_PYTHON MODULES=$MODULES RENDEZVOUS_PORT=$RENDEZVOUS_PORT
HELP
}

say() { printf 'campaign: %s\n' "$*" >&2; }
fail() { local status=$1; shift; say "$@"; exit "$status"; }
wrong_usage() { usage >&2; fail 2 "$@"; }

dry_run=no config=""
search_options=()
tunings=()  # lines STAGE <tab> SETTINGS <tab> BASE <tab> OUTPUT, and <tab> "search" if one follows
while [ $# -gt 0 ]; do
    case $1 in
        --help | -h) usage; exit 0 ;;
        --dry-run) dry_run=yes ;;
        --tune)
            [ $# -ge 5 ] || wrong_usage "--tune takes STAGE SETTINGS BASE OUTPUT"
            tunings+=("$2"$'\t'"$3"$'\t'"$4"$'\t'"$5")
            shift 4 ;;
        --) shift; search_options=("$@"); break ;;
        -*) wrong_usage "unknown argument: $1" ;;
        *)
            [ -z "$config" ] || wrong_usage "unknown argument: $1"
            config=$1 ;;
    esac
    shift
done
[ -n "$config" ] || wrong_usage "no configuration given"
[ -f "$config" ] || fail 3 "cannot read the configuration $config"
for setting in FINETUNE_NODES FINETUNE_CORES; do
    [[ ${!setting} =~ ^[1-9][0-9]{0,5}$ ]] || fail 2 "$setting=${!setting}: expected a number from 1"
done
[[ $FINETUNE_GPUS_PER_NODE =~ ^([A-Za-z][A-Za-z0-9_.-]*:)?[0-9]{1,4}$ ]] ||
    fail 2 "FINETUNE_GPUS_PER_NODE=$FINETUNE_GPUS_PER_NODE: expected a number from 0, or a type and a number (a100:4)"
tuning_gpus=$((10#${FINETUNE_GPUS_PER_NODE##*:}))
[ "$FINETUNE_NODES" -eq 1 ] || [ $tuning_gpus -gt 0 ] || fail 2 "FINETUNE_NODES=$FINETUNE_NODES, but FINETUNE_GPUS_PER_NODE=0"
if ! command -v sbatch >/dev/null && [ $dry_run = no ]; then
    fail 1 "sbatch is not in PATH: this is no machine of a Slurm cluster, or a module is missing.
--dry-run prints what would be submitted"
fi

# --- What is to be tuned --------------------------------------------------------------------------

[ -x "$LONGROPE" ] || fail 1 "no program at $LONGROPE; build it (scripts/build.sh), or name it: LONGROPE=..."
check=$("$LONGROPE" search --check --json --ranks 1 "$config") || {
    status=$?
    tell_of_missing_inputs
    fail $status "the search cannot run (above); nothing was submitted"
}

# The run directory, the names of the stages, then the tunings that CONFIG asks for, in the order of its stages.
asked=$("$PYTHON" - "$check" "$config" "${#tunings[@]}" <<'PYTHON'
import json, sys
check = json.loads(sys.argv[1])
print(check["directory"])
print(*(stage["name"] for stage in check["stages"]), sep="\t")
made = set()
for stage in check["stages"]:
    if int(sys.argv[3]) > 0:  # --tune takes their place
        break
    if not stage["model_missing"] or not stage["tasks_left"] or stage["model"] in made:
        continue
    made.add(stage["model"])
    if not stage["trainings"]:
        sys.exit(f"campaign: {sys.argv[2]}: no stage before {stage['name']} leads to its model {stage['model']}")
    for training in stage["trainings"]:
        if not training["settings"]:
            sys.exit(f"campaign: {sys.argv[2]}: stage {stage['name']} has no finetune = \"SETTINGS\": give --tune")
        then = "search" if training["output"] == stage["model"] else ""
        print(*(training[key] for key in ("stage", "settings", "model", "output")), then, sep="\t")
PYTHON
) || exit 3
directory=$(head -n 1 <<<"$asked")
stages=$(sed -n 2p <<<"$asked")
[ ${#tunings[@]} -gt 0 ] || mapfile -t tunings < <(tail -n +3 <<<"$asked")
# The same folder has the same name, for base and output: without slashes at the end.
mapfile -t tunings < <([ ${#tunings[@]} -eq 0 ] || printf '%s\n' "${tunings[@]}" | sed -E 's:/+(\t|$):\1:g')

# Whether a training would be refused, as far as it can be known before the jobs that come first. ROOT is BASE,
# or where that is still to be made, the folder that it is made from.
check_tuning() {  # STAGE SETTINGS BASE OUTPUT ROOT
    local said advice="" processes=$((FINETUNE_NODES * (tuning_gpus > 0 ? tuning_gpus : 1)))
    [ -f scripts/finetune.py ] ||
        fail 1 "there is no scripts/finetune.py (seen from $PWD), which a fine-tuning starts: go to the root of the repository"
    command -v "$TRAINING_PYTHON" >/dev/null || fail 1 "no Python at $TRAINING_PYTHON (seen from $PWD): TRAINING_PYTHON=...,
or load the modules that it is in first"
    said=$("$TRAINING_PYTHON" scripts/finetune.py --check --ahead "$5" --processes "$processes" --model "$3" \
        --history "$directory/search.h5" --stage "$1" --output "$4" --config "$2" 2>&1 >/dev/null) && {
        [ "$said" = "$noted" ] || say "$said"  # a note on this Python is the same for every training
        noted=$said
        return
    }
    if [ -f "$4/config.json" ] && [[ $said != *" is of another fine-tuning:"* ]]; then
        say "$said
$4 is there already and taken as it is: what it was tuned under cannot be compared (above)"
        return
    fi
    [[ $said != *" cannot be shared by "* ]] || advice="
There is one per GPU: FINETUNE_NODES=$FINETUNE_NODES, FINETUNE_GPUS_PER_NODE=$FINETUNE_GPUS_PER_NODE. \
With FINETUNE_GPUS_PER_NODE=0 it is one process, on the CPU"
    fail 3 "$said
the fine-tuning of $4 on $processes process(es) would be refused; nothing was submitted$advice"
}
noted=""
export TRAINING_PYTHON MODULES RENDEZVOUS_PORT
declare -A roots=()
for tuning in "${tunings[@]}"; do
    IFS=$'\t' read -r stage settings base output _ <<<"$tuning"
    [[ $'\t'$stages$'\t' == *$'\t'"$stage"$'\t'* ]] || fail 3 "$config has no stage $stage; it has ${stages//$'\t'/, }"
    [ -f "$settings" ] || fail 3 "there is no settings file $settings"
    root=${roots[$base]:-$base}
    roots[$output]=$root
    [ -f "$output/config.json" ] || compgen -G "$root/*.safetensors" >/dev/null ||
        fail 3 "$root has no *.safetensors file to tune: another folder by LONGROPE_MODEL_PATH or --tune"
    check_tuning "$stage" "$settings" "$base" "$output" "$root"
done

# --- The chain ------------------------------------------------------------------------------------

job=""  # the last one submitted
count=0
summary=()

submit_search() {
    local said submit=("$repository/scripts/slurm/submit.sh")
    [ $dry_run = no ] || submit+=(--dry-run)
    submit+=("$config" "${search_options[@]}" ${job:+"--dependency=afterok:$job"})
    if [ $dry_run = yes ]; then
        echo "# --- Job $((count + 1)): search -------"
        said=$("${submit[@]}") || exit $?
        echo "$said"
        if [ -z "$said" ]; then return; fi  # complete, or it can only wait
        job="JOB$((count + 1))"
    else
        said=$("${submit[@]}") || exit $?
        if [ -z "$said" ]; then return; fi
        job=$(sed -n 's/^job \([0-9]*\):.*/\1/p' <<<"$said")
    fi
    count=$((count + 1))
    summary+=("job $job: search of $config")
}

submit_tuning() {  # STAGE SETTINGS BASE OUTPUT
    local said
    if [ -f "$4/config.json" ]; then
        say "$4 is there already: not tuned again"
        return
    fi
    local command=(sbatch --parsable --job-name="longrope-finetune-$1" --nodes="$FINETUNE_NODES"
        --ntasks-per-node=1 --cpus-per-task="$FINETUNE_CORES" --time="$FINETUNE_TIME"
        --output="${directory//%/%%}/finetune-%j.log")  # % begins a replacement there
    [ -z "$FINETUNE_MEMORY" ] || command+=(--mem="$FINETUNE_MEMORY")
    [ $tuning_gpus -eq 0 ] || command+=(--gpus-per-node="$FINETUNE_GPUS_PER_NODE")
    [ -z "$FINETUNE_PARTITION" ] || command+=(--partition="$FINETUNE_PARTITION")
    [ -z "$ACCOUNT" ] || command+=(--account="$ACCOUNT")
    [ -z "$job" ] || command+=("--dependency=afterok:$job")
    command+=("$repository/scripts/slurm/finetune.sbatch" --model "$3" --history "$directory/search.h5"
        --stage "$1" --output "$4" --config "$2")
    if [ $dry_run = yes ]; then
        echo "# --- Job $((count + 1)): fine-tuning -------"
        printf '%q ' "${command[@]}"
        echo
        job="JOB$((count + 1))"
    else
        mkdir -p "$directory"
        said=$("${command[@]}" 2>&1) || fail 1 "sbatch refused the fine-tuning of $4 and said
$said
${summary[*]:+submitted before it: ${summary[*]}}"
        job=${said##*$'\n'}
        job=${job%%;*}
    fi
    count=$((count + 1))
    summary+=("job $job: fine-tuning of $4, factors of stage $1")
}

submit_search
tuned=$count
for tuning in "${tunings[@]}"; do
    IFS=$'\t' read -r stage settings base output next <<<"$tuning"
    submit_tuning "$stage" "$settings" "$base" "$output"
    if [ "$next" = search ] && [ $count -gt "$tuned" ]; then
        submit_search
        tuned=$count
    fi
done
[ $count -eq "$tuned" ] || submit_search
[ $count -gt 0 ] || { say "nothing to submit"; exit 0; }
[ $dry_run = yes ] || printf '%s\n' "${summary[@]}"
