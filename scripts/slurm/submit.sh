#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Submits a search to Slurm, sized by its own estimate; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
PARTITION=${PARTITION:-}                # empty: Slurm's default partition
ACCOUNT=${ACCOUNT:-}                    # empty: the user's default account
NODES=${NODES:-1}
GPUS_PER_NODE=${GPUS_PER_NODE:-0}       # one rank each, a type before the number: a100:4; 0: ranks compute on the CPU
GPU_DEVICE=${GPU_DEVICE:-}              # which GPU: a name of 'longrope estimate --help'; empty: estimated for CPUs
RANKS_PER_NODE=${RANKS_PER_NODE:-}      # empty: a rank per GPU, else as many as are of use and have room
CORES_PER_RANK=${CORES_PER_RANK:-4}
MODULES=${MODULES:-}                    # environment modules to load, for example "gcc/12 openmpi/4.1"
MPIRUN=${MPIRUN:-mpirun}                # the launcher, with options that the site needs
TIME_RESERVE=${TIME_RESERVE:-1.5}       # the time asked for is the estimate times this, and 15 minutes
MEMORY_RESERVE=${MEMORY_RESERVE:-1.25}  # the memory is that of the evaluators times this, and 512 MiB each
LONGROPE=${LONGROPE:-}                  # the program; empty: the repository's build, else the one in PATH
PYTHON=${PYTHON:-python3}               # any version; reads the estimate

repository=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# shellcheck source=scripts/slurm/missing_inputs.bash
. "$repository/scripts/slurm/missing_inputs.bash"
if [ -z "$LONGROPE" ]; then
    LONGROPE=$repository/build/release/longrope
    [ -x "$LONGROPE" ] || LONGROPE=$(command -v longrope || echo "$LONGROPE")
fi

cuda_host_gib=2  # of host memory, per rank on a GPU: CUDA's context and libraries. An allowance, not measured.

usage() {
    cat <<HELP
Submits a search as a Slurm job that queues itself again until the search is complete: checks the
configuration, asks for ranks, memory and time as 'longrope search --check' estimates them, and
prints the number of the job and what it asked for.

usage: scripts/slurm/submit.sh [--dry-run] CONFIG [SBATCH-OPTION...]

  --dry-run        print the job script and submit nothing
  SBATCH-OPTION    goes into the job script; --time, --mem, --nodes, --ntasks-per-node,
                   --cpus-per-task, --gpus-per-node, --partition and --account replace what would
                   be asked for, --mem-per-cpu and --mem-per-gpu take the place of --mem:
                   --time=1-00:00:00 --qos=long
  --help           this text

Run it in the folder that the paths in CONFIG are relative to; the job runs there too.

With GPUS_PER_NODE (or --gpus-per-node) the GPU must be named for time and memory to be its own:
  GPU_DEVICE=h100-80gb GPUS_PER_NODE=8 scripts/slurm/submit.sh CONFIG
The times are then those of 'longrope estimate --device', whose --help has the names. A rank's memory
on the host is the weights in bfloat16, as they are mapped from their files; once more what does not
fit the GPU and is page-locked; and $cuda_host_gib GiB for CUDA and its libraries, an allowance. A stage that does
not fit the GPU is refused. Without GPU_DEVICE time and memory are those of CPUs, the memory with the
same allowance: the time is too long, never too short.

Environment: PARTITION=$PARTITION ACCOUNT=$ACCOUNT NODES=$NODES GPUS_PER_NODE=$GPUS_PER_NODE
  GPU_DEVICE=$GPU_DEVICE RANKS_PER_NODE=$RANKS_PER_NODE CORES_PER_RANK=$CORES_PER_RANK MODULES=$MODULES MPIRUN=$MPIRUN TIME_RESERVE=$TIME_RESERVE
  MEMORY_RESERVE=$MEMORY_RESERVE LONGROPE=$LONGROPE
  PYTHON=$PYTHON
HELP
}

say() { printf 'submit: %s\n' "$*" >&2; }
fail() { local status=$1; shift; say "$@"; exit "$status"; }
wrong_usage() { usage >&2; fail 2 "$@"; }

# A value as Slurm reads it in an #SBATCH line: what is quoted may have blanks, # and ', escaped \ and ".
quoted() {
    local value=$1
    if [[ $value == *[[:space:]#\'\"\\]* ]]; then
        value=${value//\\/\\\\}
        value=\"${value//\"/\\\"}\"
    fi
    printf '%s' "$value"
}
# A folder in a pattern for file names, where % begins a replacement; a \ would end them all.
in_pattern() { printf '%s' "${1//%/%%}"; }
refuse_newline() { [[ $1 != *$'\n'* ]] || fail 2 "${1//$'\n'/\\n}: a job script cannot hold a line break in it"; }

# --- Times, as Slurm writes them ------------------------------------------------------------------

# Seconds of "minutes", "minutes:seconds", "hours:minutes:seconds", "days-hours[:minutes[:seconds]]".
seconds_of() {
    local days=0 clock=$1 fields
    [[ $1 =~ ^([0-9]+-)?[0-9]+(:[0-9]+){0,2}$ ]] || return 1
    case $1 in
        *-*) days=${1%%-*} clock=${1#*-}
             IFS=: read -r -a fields <<<"$clock:0:0" ;;
        *:*:*) IFS=: read -r -a fields <<<"$clock" ;;
        *) IFS=: read -r -a fields <<<"0:$clock:0" ;;
    esac
    echo $((10#$days * 86400 + 10#${fields[0]} * 3600 + 10#${fields[1]} * 60 + 10#${fields[2]}))
}

slurm_time() {  # of seconds
    local days=$(($1 / 86400))
    [ $days -eq 0 ] || printf '%d-' $days
    printf '%02d:%02d:%02d' $(($1 % 86400 / 3600)) $(($1 % 3600 / 60)) $(($1 % 60))
}

# --- Command line ---------------------------------------------------------------------------------

dry_run=no config="" time="" memory="" memory_per=""
extra=()  # lines of further options
while [ $# -gt 0 ]; do
    word=$1
    shift
    refuse_newline "$word"
    case $word in
        --help | -h) usage; exit 0 ;;
        --dry-run) dry_run=yes; continue ;;  # wherever it stands
    esac
    if [ -z "$config" ]; then
        [[ $word != -* ]] || wrong_usage "unknown argument: $word (options for sbatch come after CONFIG)"
        config=$word
        continue
    fi
    name=${word%%=*}
    case $name in
        --time | -t | --mem | --nodes | -N | --ntasks-per-node | --cpus-per-task | -c | --gpus-per-node | \
            --partition | -p | --account | -A)
            if [[ $word == *=* ]]; then value=${word#*=}
            else
                [ $# -gt 0 ] || wrong_usage "$word needs a value"
                value=$1
                shift
            fi
            case $name in
                --time | -t) time=$value ;;
                --mem) memory=$value ;;
                --nodes | -N) NODES=$value ;;
                --ntasks-per-node) RANKS_PER_NODE=$value ;;
                --cpus-per-task | -c) CORES_PER_RANK=$value ;;
                --gpus-per-node) GPUS_PER_NODE=$value ;;
                --partition | -p) PARTITION=$value ;;
                --account | -A) ACCOUNT=$value ;;
            esac ;;
        --gpus | -G* | --gpus-per-[!n]* | --tres-per-*) wrong_usage "$word: use --gpus-per-node; a rank takes one of its node" ;;
        --gres)
            [[ $word == *=* ]] || { [ $# -gt 0 ] && word+="=$1" && shift; } || wrong_usage "$word needs a value"
            [[ ! ${word#*=} =~ (^|,)(gres[:/])?gpu([:=,]|$) ]] || wrong_usage "$word: use --gpus-per-node"
            extra+=("--gres=$(quoted "${word#*=}")") ;;
        --array | -a*) wrong_usage "$word: a search is one job; each number of an array would start it anew" ;;
        --ntasks | -n) wrong_usage "$name: give --nodes and --ntasks-per-node; a rank is a task" ;;
        -[tNcpAn]?*) wrong_usage "$word: put a space after -${word:1:1}" ;;
        -*)
            [[ $name != --mem-per-* ]] || memory_per=$name
            [[ $word != *=* ]] || word=$name=$(quoted "${word#*=}")
            extra+=("$word") ;;
        *)  # the value of the option before it
            [ ${#extra[@]} -gt 0 ] || wrong_usage "unknown argument: $word"
            extra[-1]+=" $(quoted "$word")" ;;
    esac
done
[ -n "$config" ] || wrong_usage "no configuration given"
for setting in NODES CORES_PER_RANK; do
    [[ ${!setting} =~ ^[1-9][0-9]{0,5}$ ]] || fail 2 "$setting=${!setting}: expected a number from 1"
done
[[ $GPUS_PER_NODE =~ ^([A-Za-z][A-Za-z0-9_.-]*:)?[0-9]{1,4}$ ]] ||
    fail 2 "GPUS_PER_NODE=$GPUS_PER_NODE: expected a number from 0, or a type and a number (a100:4)"
gpus=$((10#${GPUS_PER_NODE##*:}))
[[ $RANKS_PER_NODE =~ ^([1-9][0-9]{0,4})?$ ]] || fail 2 "RANKS_PER_NODE=$RANKS_PER_NODE: expected a number from 1"
asked_seconds=0
[ -z "$time" ] || asked_seconds=$(seconds_of "$time") ||
    fail 2 "--time=$time: expected minutes, [hours:]minutes:seconds or days-hours[:minutes[:seconds]]"

# --- What the cluster has -------------------------------------------------------------------------

[ -x "$LONGROPE" ] || fail 1 "no program at $LONGROPE; build it (scripts/build.sh), or name it: LONGROPE=..."
if ! command -v sbatch >/dev/null && [ $dry_run = no ]; then
    fail 1 "sbatch is not in PATH: this is no machine of a Slurm cluster, or a module is missing.
--dry-run prints the job script without it"
fi

# The partition's time limit, and memory (MB) and cores of its smallest node; empty where unknown.
limit="" node_memory="" node_cores=""
if command -v sinfo >/dev/null && [[ $PARTITION != *,* ]]; then  # of several, Slurm takes the first that is free
    if table=$(timeout 20 sinfo -h -o '%P|%l|%m|%c' 2>&1); then
        row=$(awk -F'|' -v wanted="$PARTITION" '
            (wanted == "" && $1 ~ /\*$/) || (wanted != "" && ($1 == wanted || $1 == wanted "*")) {
                if (memory == "" || $3 + 0 < memory) memory = $3 + 0
                if (cores == "" || $4 + 0 < cores) cores = $4 + 0
                name = $1; limit = $2
            }
            END { if (name != "") print name "|" limit "|" memory "|" cores }' <<<"$table")
        [ -n "$row" ] || [ -z "$PARTITION" ] || fail 1 "there is no partition $PARTITION; there are:$(
            awk -F'|' '{ sub(/\*$/, "", $1); printf " %s", $1 }' <<<"$table")"
        if [ -n "$row" ]; then
            IFS='|' read -r partition limit node_memory node_cores <<<"$row"
            PARTITION=${PARTITION:-${partition%\*}}
        fi
    else
        say "sinfo does not answer, so nothing is known of the partition's limits: ${table##*$'\n'}"
    fi
fi
limit_seconds=$(seconds_of "$limit" || true)  # "infinite" and nothing are no limit

# --- What the search needs ------------------------------------------------------------------------

# A job that begins after another may find a model that is missing now.
follows=no
for word in "${extra[@]}"; do
    case $word in --dependency* | -d*) follows=yes ;; esac
done
# In Python: the stages that the job can run, those before the first that is to be searched without its model.
runnable='
def runnable(stages, follows):
    missing = [number for number, stage in enumerate(stages) if stage["model_missing"] and stage["tasks_left"]]
    return stages if follows == "yes" or not missing else stages[: missing[0]]'

# Given options of --check, sets check (its JSON) and by it directory, complete, in_use_by, waits_for, bytes (of an
# evaluator), shared (by those of a node: the model's files in the page cache, which a job's memory counts in),
# streamed_bytes and streamed_shared (the same with evaluator.weights = "streamed"), work (seconds of one rank
# for all that is left), longest (seconds of a task), useful (ranks that find something to do): on CPUs.
estimate_on_cpus() {
    local values
    check=$("$LONGROPE" search --check --json --ranks 1 --threads "$CORES_PER_RANK" "$@" "$config") || {
        local status=$?
        tell_of_missing_inputs
        fail $status "the search cannot run (above); nothing was submitted"
    }
    values=$("$PYTHON" -c "$runnable"'
import json, math, sys
check = json.loads(sys.argv[1])
stages = runnable(check["stages"], sys.argv[2]) or check["stages"]
open_stages = [stage for stage in stages if stage["tasks_left"]]
print(check["directory"])
print("yes" if check["complete"] else "no")
print(check["in_use_by"])
print(check["waits_for"])
print(max(stage["bytes_per_evaluator"] for stage in stages))
print(max(stage["shared_bytes"] for stage in stages))
print(max(stage["streamed"]["bytes_per_evaluator"] for stage in stages))
print(max(stage["streamed"]["shared_bytes"] for stage in stages))
print(math.ceil(sum(stage["seconds"] for stage in stages)))
print(math.ceil(max((stage["seconds"] / stage["tasks_left"] for stage in open_stages), default=0)))
print(max(1, *(stage["tasks_at_once"] for stage in stages)))' "$check" "$follows") ||
        fail 1 "$PYTHON could not read the estimate; name another one: PYTHON=..."
    {
        read -r directory
        read -r complete
        read -r in_use_by
        read -r waits_for
        read -r bytes
        read -r shared
        read -r streamed_bytes
        read -r streamed_shared
        read -r work
        read -r longest
        read -r useful
    } <<<"$values"
}

# Whether ranks will compute on the GPUs that they are given, as far as CONFIG decides; sets why_not.
config_uses_gpus() {
    local status=0
    why_not=$("$LONGROPE" estimate "$config" 2>&1 >/dev/null) || status=$?
    why_not=${why_not#longrope: }
    why_not="${why_not%; add --precision bf16}.
GPUs compute with evaluator.backend = \"auto\" or \"cuda\" and evaluator.precision = \"bf16\": in $config, or for script
and job LONGROPE_EVALUATOR_PRECISION=bf16 in the environment. For CPUs alone: GPUS_PER_NODE=0"
    return $status
}

# Sets bytes (on the host), work and longest as estimate_on_cpus does, but on GPU_DEVICE.
estimate_on_gpus() {
    local planned values misfit said status=0
    shared=0  # GPUs take no notice of evaluator.weights
    config_uses_gpus || fail $? "no estimate for GPU_DEVICE=$GPU_DEVICE; nothing was submitted: $why_not"
    said=$(mktemp)
    planned=$("$LONGROPE" estimate --json "--device=$GPU_DEVICE" "$config" 2>"$said") || status=$?
    # 3 with an estimate: a stage does not fit; it counts only while it is left.
    [ $status -ne 3 ] || [ -z "$planned" ] || status=0
    [ $status -eq 0 ] || cat "$said" >&2
    rm -f "$said"
    [ $status -eq 0 ] || fail $status "no estimate for GPU_DEVICE=$GPU_DEVICE (above); nothing was submitted"
    values=$("$PYTHON" -c "$runnable"'
import json, math, sys
stages = [stage for stage in runnable(json.loads(sys.argv[1])["stages"], sys.argv[5]) if stage["tasks_left"]]
planned = {stage["name"]: stage for stage in json.loads(sys.argv[2])["stages"]}
host, work, longest, misfit = 0, 0.0, 0.0, ""
for stage in stages:
    memory = planned[stage["name"]]["memory"]
    if not memory["fits"]:
        needed, had = memory["device_bytes"], memory["had_bytes"]
        tokens = "{} tokens".format(stage["positions"])
        if memory["positions"] != stage["positions"]:  # evaluators are made for the longest that they may be given
            tokens += "; another stage gives its evaluators {}".format(memory["positions"])
        misfit = misfit or (
            "stage {} ({}) needs {} bytes ({:.1f} GiB) of GPU memory, but {} has {} ({:.1f} GiB)".format(
                stage["name"], tokens, needed, needed / 2**30, sys.argv[3], had, had / 2**30))
        continue
    # Where weights are streamed, all matrices are page-locked and two layers of them on the device.
    pinned = memory["pinned_host_bytes"]
    mapped = max(memory["matrix_bytes"], pinned) + memory["table_bytes"] + memory["vector_bytes"]
    host = max(host, mapped + pinned)
    task = planned[stage["name"]]["task_seconds"]["longest"]
    work += task * stage["tasks_left"]
    longest = max(longest, task)
print(misfit)
print(host + int(sys.argv[4]) * 2**30)
print(math.ceil(work))
print(math.ceil(longest))' "$check" "$planned" "$GPU_DEVICE" "$cuda_host_gib" "$follows") ||
        fail 1 "$PYTHON could not read the estimate for $GPU_DEVICE; name another one: PYTHON=..."
    {
        read -r misfit
        read -r bytes
        read -r work
        read -r longest
    } <<<"$values"
    [ -z "$misfit" ] || fail 1 "$misfit; nothing was submitted.
A GPU with more memory ($LONGROPE estimate --help has the names), or shorter documents"
}

# Says what an estimate for CPUs is worth where ranks have GPUs.
tell_of_unnamed_gpus() {
    if config_uses_gpus; then
        estimate_on_cpus --weights resident  # GPUs take no notice of evaluator.weights
        bytes=$((bytes + (cuda_host_gib << 30)))
        say "note: time and memory are estimated for CPUs, as the GPU is not named: the time is too long, never too short.
Name it: GPU_DEVICE=NAME; the names: $LONGROPE estimate --help"
    else
        say "note: GPUs are asked for, but the ranks will compute on CPUs: $why_not"
    fi
}

# mawk's %d ends at 2^31.
scaled() { awk -v value="$1" -v factor="$2" 'BEGIN { printf "%.0f", value * factor + 0.5 }'; }
# What a rank of an evaluator of that many bytes is given, and a node for what its ranks share.
rank_mebibytes() { echo $(($(scaled "$1" "$MEMORY_RESERVE") / 1048576 + 512)); }
shared_mebibytes() { echo $((($1 + 1048575) / 1048576)); }
smaller() { echo $(($1 < $2 ? $1 : $2)); }

estimate_on_cpus
[[ $directory != *\\* ]] ||
    fail 2 "the run directory $directory has a backslash, with which Slurm cannot name the log of the job: take another"
if [ "$complete" = yes ]; then
    say "the search in $directory is complete; nothing was submitted"
    exit 0
fi
if [ -n "$waits_for" ] && [ $follows = no ]; then
    say "the search in $directory waits for the model $waits_for; nothing was submitted.
What makes it: $LONGROPE status $directory; a job that begins after that: --dependency=afterok:JOB"
    exit 0
fi
[ -z "$in_use_by" ] || say "note: $directory is in use by $in_use_by; a job that starts before that search ends does not begin.
To queue behind a job: --dependency=afterany:JOB"
estimated_for=CPUs
if [ $gpus -gt 0 ] && [ -n "$GPU_DEVICE" ]; then
    estimated_for=$GPU_DEVICE
    estimate_on_gpus
elif [ $gpus -gt 0 ]; then
    tell_of_unnamed_gpus
elif [ -n "$GPU_DEVICE" ]; then
    say "note: GPU_DEVICE=$GPU_DEVICE does not count, since GPUS_PER_NODE=0: the ranks compute on CPUs"
fi
rank_memory=$(rank_mebibytes "$bytes")
shared_memory=$(shared_mebibytes "$shared")
if [ -z "$RANKS_PER_NODE" ]; then
    if [ $gpus -gt 0 ]; then
        RANKS_PER_NODE=$gpus
    else
        RANKS_PER_NODE=$(smaller $(((useful + NODES - 1) / NODES)) $((${node_cores:-4} / CORES_PER_RANK)))
        # Slurm says 1 MB where memory is not managed.
        [ "${node_memory:-0}" -le 1 ] || RANKS_PER_NODE=$(smaller "$RANKS_PER_NODE" $(((node_memory - shared_memory) / rank_memory)))
        [ "$RANKS_PER_NODE" -gt 0 ] || RANKS_PER_NODE=1
    fi
fi
ranks=$((NODES * RANKS_PER_NODE))
busy=$(smaller "$ranks" "$useful")
rounds=$(((useful + busy - 1) / busy))  # of a generation, which the next one waits for
seconds=$(((work * rounds + useful - 1) / useful))
[ "$ranks" -le "$useful" ] ||
    say "note: $ranks ranks, but a generation has $useful tasks; the others will be idle most of the time"
[ -z "$node_cores" ] || [ $((RANKS_PER_NODE * CORES_PER_RANK)) -le "$node_cores" ] ||
    fail 1 "$RANKS_PER_NODE ranks of $CORES_PER_RANK cores do not fit into the $node_cores cores of a node \
of $PARTITION"

if [ -z "$memory$memory_per" ] && [ "${node_memory:-0}" -ne 1 ]; then
    needed=$((rank_memory * RANKS_PER_NODE + shared_memory))
    needed_if_streamed=$(($(rank_mebibytes "$streamed_bytes") * RANKS_PER_NODE + $(shared_mebibytes "$streamed_shared")))
    [ -z "$node_memory" ] || [ "$needed" -le "$node_memory" ] ||
        fail 1 "$RANKS_PER_NODE ranks need $needed MiB of memory, more than the $node_memory of a node of \
$PARTITION: fewer ranks per node (--ntasks-per-node)$([ $gpus -gt 0 ] || [ "$needed_if_streamed" -gt "$node_memory" ] ||
            echo ", evaluator.weights = \"streamed\""), or your own --mem"
    memory=${needed}M
fi

[ $gpus -eq 0 ] || [ $gpus -ge "$RANKS_PER_NODE" ] ||
    fail 2 "$RANKS_PER_NODE ranks per node, but --gpus-per-node=$GPUS_PER_NODE: a rank needs a GPU"

parts=1
if [ "$asked_seconds" -eq 0 ]; then
    asked_seconds=$((($(scaled "$seconds" "$TIME_RESERVE") + 900 + 299) / 300 * 300))
    if [ -n "$limit_seconds" ] && [ "$asked_seconds" -gt "$limit_seconds" ]; then
        fail 1 "about $(slurm_time "$seconds") on $ranks ranks (with reserve: $(slurm_time "$asked_seconds")), but \
partition $PARTITION allows $(slurm_time "$limit_seconds").
More ranks (--nodes, --ntasks-per-node), another partition, or in parts, the job queueing itself again
after each: --time=$(slurm_time "$limit_seconds")"
    fi
elif [ -n "$limit_seconds" ] && [ "$asked_seconds" -gt "$limit_seconds" ]; then
    fail 1 "--time=$time, but partition $PARTITION allows $(slurm_time "$limit_seconds")"
else
    parts=$(((seconds + asked_seconds - 1) / asked_seconds))
    [ $parts -gt 0 ] || parts=1
fi
# A job that ends before its first task is done would get nowhere, however often it is queued.
[ $((longest * 2)) -lt "$asked_seconds" ] ||
    fail 1 "one document takes a rank about $(slurm_time "$longest"), too long for a job of \
$(slurm_time "$asked_seconds"): give --time$([ "$estimated_for" != CPUs ] || echo ", or more cores per rank (--cpus-per-task)")"

# --- The job script -------------------------------------------------------------------------------

template=$repository/scripts/slurm/search.sbatch
begin='^# --- Site settings -' end='^# --- The job -'
if ! grep -q "$begin" "$template" || ! grep -q "$end" "$template"; then
    fail 1 "$template has lost its lines '# --- Site settings' and '# --- The job': restore them"
fi

settings() {
    local devices="" host=""
    [ $gpus -eq 0 ] || devices=" with a GPU each"
    [ "$estimated_for" = CPUs ] || host=" on the host"
    echo "# --- Site settings, by submit.sh for $config --------"
    echo "# Estimated for $estimated_for: $(slurm_time "$seconds") on $ranks rank(s)$devices," \
        "$((bytes / 1048576)) MiB$host per evaluator$([ "$shared" -eq 0 ] ||
            echo " and $shared_memory MiB of the model's files per node"), $(slurm_time "$longest") per document."
    local lines=("--job-name=$(quoted "longrope-$(basename "$config" .toml)")"
        "--time=$(slurm_time "$asked_seconds")" "--nodes=$NODES" "--ntasks-per-node=$RANKS_PER_NODE"
        "--cpus-per-task=$CORES_PER_RANK" ${memory:+"--mem=$memory"}
        "--output=$(quoted "$(in_pattern "$directory")/slurm-%j.log")")
    [ $gpus -eq 0 ] || lines+=("--gpus-per-node=$GPUS_PER_NODE")
    lines+=(${PARTITION:+"--partition=$PARTITION"} ${ACCOUNT:+"--account=$ACCOUNT"} "${extra[@]}")
    printf '#SBATCH %s\n' "${lines[@]}"
    printf 'longrope=%q\nconfig=%q\nmodules=(%s)\nmpirun=(%s)\n' "$LONGROPE" "$config" "$MODULES" "$MPIRUN"
}

script() {
    sed -n "1,/$begin/p" "$template" | sed '$d'
    settings
    sed -n "/$end/,\$p" "$template"
}

if [ $dry_run = yes ]; then
    script
    exit 0
fi
mkdir -p "$directory"
file=$directory/search.sbatch
script >"$file"
said=$(sbatch --parsable "$file" 2>&1) || fail 1 "sbatch refused $file and said
$said"
job=${said##*$'\n'}
job=${job%%;*}
cat <<REPORT
job $job: $config in $directory
asked for: $NODES node(s) x $RANKS_PER_NODE rank(s) x $CORES_PER_RANK core(s), $GPUS_PER_NODE GPU(s) and ${memory:-any} memory \
per node${memory_per:+ ($memory_per)}, $(slurm_time "$asked_seconds")${PARTITION:+, partition $PARTITION}
estimated: $(slurm_time "$seconds") for $estimated_for$([ $parts -eq 1 ] || echo ", about $parts starts of the job")
script:    $file
log:       $directory/slurm-$job.log
watch:     $LONGROPE status --watch $directory
REPORT
