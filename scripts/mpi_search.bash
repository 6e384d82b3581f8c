# SPDX-License-Identifier: Apache-2.0
# A search under mpirun on this machine. Read by quickstart.sh and demo_campaign.sh, in the root of the
# repository; they set RANKS, MPIRUN, longrope, config, and say what to say (say, fail).
# shellcheck shell=bash disable=SC2154

# --- Open MPI's ways ------------------------------------------------------------------------------

if [ "$(id -u)" -eq 0 ]; then  # it asks root whether it is meant
    export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
# Containers often forbid the system call behind it, and Open MPI then complains at length. Our
# messages are too small to gain from it.
export OMPI_MCA_btl_vader_single_copy_mechanism=${OMPI_MCA_btl_vader_single_copy_mechanism:-none}

# It counts cores, not hardware threads, and refuses more ranks than it counts.
mpirun_options() {
    local said launcher
    read -r -a launcher <<<"$MPIRUN"  # with options that the site needs, as in submit.sh
    mpi=("${launcher[@]}" --bind-to none --enable-recovery -n "$RANKS")
    said=$("${mpi[@]}" true 2>&1 </dev/null) && return
    mpi+=(--oversubscribe)
    "${mpi[@]}" true >/dev/null 2>&1 </dev/null && return
    fail "mpirun cannot start $RANKS processes here; '${mpi[*]} true' says
$said"
}

field() { .venv/bin/python -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1" 2>/dev/null; }

# --- The search, with Ctrl-C passed on in a form that leaves it time to store ---------------------

stop_requests=0
request_stop() {
    stop_requests=$((stop_requests + 1))
    if [ $stop_requests -eq 1 ]; then
        say "stopping; Ctrl-C again stops at once"
        kill -USR1 "$job" 2>/dev/null || true  # mpirun hands it to all ranks
    else
        kill -TERM "$job" 2>/dev/null || true
    fi
}

search() {
    local progress=lines
    [ -t 2 ] && progress=bar
    # A session of its own: the terminal's Ctrl-C reaches this script alone.
    setsid "${mpi[@]}" "$longrope" search "$config" --progress "$progress" </dev/null &
    job=$!
    trap request_stop INT TERM HUP
    while kill -0 "$job" 2>/dev/null; do
        wait "$job" || true  # returns early when a signal is trapped
    done
    trap - INT TERM HUP
}
