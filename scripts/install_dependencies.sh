#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs what longrope is built from and what its scripts need; see --help.
set -euo pipefail

# --- Site settings: each can be given in the environment ------------------------------------------
BOOST_VERSION=${BOOST_VERSION:-1.81}           # Debian 12 has 1.74 and 1.81; other systems may have newer ones
PYTHON=${PYTHON:-}                             # builds the virtual environment; empty: the system's python3
APT_LOCK_SECONDS=${APT_LOCK_SECONDS:-120}      # how long to wait for another package manager

packages=(
    g++ cmake ninja-build git                  # compiler (with OpenMP) and build tools
    openmpi-bin libopenmpi-dev                 # ranks and their messages
    libhdf5-dev hdf5-tools                     # history and documents; h5dump for the tests
    "libboost$BOOST_VERSION-dev" "libboost-json$BOOST_VERSION-dev"  # config.json, safetensors headers
    "libboost-context$BOOST_VERSION-dev"       # tests: the threads of emulated CUDA kernels
    libssl-dev                                 # SHA-256
    libcxxopts-dev libtomlplusplus-dev libfmt-dev  # command line, configuration, messages
    libdnnl-dev ocl-icd-opencl-dev opencl-headers  # matrix products; oneDNN's CMake files ask for OpenCL
    doctest-dev                                # tests
    python3 python3-venv ca-certificates       # scripts
)
readonly slurm_packages=(slurmctld slurmd slurm-client)  # a Slurm for tests/integration/slurm_test.py
readonly fuzzing_packages=(clang libclang-rt-dev llvm)  # compiler, libFuzzer and sanitizers, stack traces
readonly demo_packages=(r-cran-janeaustenr bible-kjv-text)  # downloaded by prepare_demo.py, not installed

usage() {
    cat <<HELP
Installs what longrope needs: packages of the system, and a Python virtual environment in .venv.
It changes nothing that is there already, and takes a second when everything is.

usage: scripts/install_dependencies.sh [--training] [--slurm] [--fuzzing] [--tidy] [--cuda]

  --training   also the Python packages for training models (PyTorch and transformers, 3 GB)
  --slurm      also Slurm's own programs, for the test that runs jobs in a Slurm of its own, as root;
               no service of it is configured
  --fuzzing    also clang with libFuzzer, for scripts/fuzz.sh
  --tidy       also clang-tidy, for scripts/tidy.sh (150 MB)
  --cuda       also cuDNN's frontend, headers that the GPU backend is compiled with, and a disassembler
               for a test (100 MB); without the flag too where nvcc is on PATH. CUDA and cuDNN
               themselves are NVIDIA's to install
  --help       this text

Packages are installed with apt-get, as root or through sudo; without either, the script says
what an administrator has to install. The list is Debian 12's.

Environment: BOOST_VERSION=$BOOST_VERSION  PYTHON=${PYTHON:-python3}  APT_LOCK_SECONDS=$APT_LOCK_SECONDS
HELP
}

say() { printf 'install_dependencies: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

# --- Packages of the system -----------------------------------------------------------------------

missing_packages() {
    local package
    for package in "${packages[@]}"; do
        [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || echo "$package"
    done
}

# Debian lets only one version's headers be installed, and apt would remove the other one silently.
refuse_other_boost() {
    local other
    other=$(dpkg-query -W -f='${Package} ${db:Status-Status}\n' 'libboost[0-9]*-dev' 2>/dev/null |
        awk -v wanted="libboost$BOOST_VERSION-dev" \
            '$2 == "installed" && $1 ~ /^libboost[0-9.]+-dev$/ && $1 != wanted { print $1; exit }') || true
    [ -z "$other" ] && return
    fail "the headers of another Boost are installed ($other), and libboost$BOOST_VERSION-dev cannot be
installed beside them. longrope needs Boost 1.81 or newer. To replace it, as root:
    apt-get install libboost$BOOST_VERSION-dev libboost-json$BOOST_VERSION-dev \\
        libboost-context$BOOST_VERSION-dev
apt-get lists what that would remove, and asks. If $other is newer than 1.81, use it:
    BOOST_VERSION=${other//[^0-9.]/} scripts/install_dependencies.sh"
}

# Sets `as_root` to what runs a command as root, or fails: root, sudo without a password, sudo that
# can ask for one on this terminal.
find_root() {
    as_root=()
    [ "$(id -u)" -eq 0 ] && return
    command -v sudo >/dev/null || return 1
    as_root=(sudo)
    sudo -n true 2>/dev/null && return
    [ -t 0 ] && say "sudo asks for your password, to run apt-get" && sudo -v
}

apt() {  # what is typed is apt-get's own; its output is kept for the advice when it fails
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C ${http_proxy:+"http_proxy=$http_proxy"} \
        ${https_proxy:+"https_proxy=$https_proxy"} ${no_proxy:+"no_proxy=$no_proxy"} \
        apt-get -q -o "DPkg::Lock::Timeout=$APT_LOCK_SECONDS" -o Acquire::Retries=2 "$@" \
        </dev/null >>"$log" 2>&1
}

# The lock of the package lists has no timeout of its own in apt-get.
update_lists() {
    local deadline=$((SECONDS + APT_LOCK_SECONDS))
    while : >"$log"; do
        apt update && return
        grep -q 'Could not get lock' "$log" && [ "$SECONDS" -lt "$deadline" ] || return 1
        sleep 2
    done
}

said() { { grep -E '^(E|W|Err)' "$log" || tail -n 5 "$log"; } | tail -n 8 | sed 's/^/    /'; }

advice() {
    if grep -qE 'Could not get lock|is another process using it' "$log"; then
        echo "Another program is installing packages: wait until it is done, then run this again."
    elif grep -qE 'Unable to locate package|has no installation candidate' "$log"; then
        echo "These names are Debian 12's; this is $system. Its section 'main' must be among the sources
(/etc/apt/sources.list*). For another Boost: BOOST_VERSION=1.83 scripts/install_dependencies.sh"
    elif grep -qE 'Could not resolve|Temporary failure|(Unable to|Could not) connect|timed out|Failed to fetch' \
        "$log"; then
        echo "The package mirror cannot be reached: check the network, the proxy and /etc/apt/sources.list*."
    elif grep -q 'remove is disabled' "$log"; then
        echo "Installed packages are in conflict with these and would be removed. Decide that yourself: as root,
    apt-get install ${missing[*]}"
    elif grep -qE 'No space left|enough free space' "$log"; then
        echo "The disk is full."
    else
        echo "Run it by hand to see more: apt-get install ${missing[*]}"
    fi
}

install_packages() {
    mapfile -t missing < <(missing_packages)
    if [ ${#missing[@]} -eq 0 ]; then
        provide_package_lists
        return
    fi
    refuse_other_boost
    if ! find_root; then
        fail "packages are missing, and installing them takes root or sudo.
Ask an administrator for
    apt-get install ${missing[*]}
and run this again. Everything else works as an ordinary user."
    fi
    say "installing ${missing[*]} (all of them take about three minutes)"
    local updated=yes begun=$SECONDS
    update_lists || { updated=no; say "apt-get update failed, trying with the lists there are:"; said >&2; }
    : >"$log"
    apt install --yes --no-install-recommends --no-remove "${missing[@]}" || {
        local hint
        hint=$(advice)
        [ $updated = yes ] || hint="The lists could not be renewed either (above).
$hint"
        fail "apt-get install failed and said
$(said)
$hint"
    }
    say "installed ${#missing[@]} packages in $((SECONDS - begun)) s"
}

# Images often come without package lists, and the demo's texts are downloaded by them.
provide_package_lists() {
    [ -e documents/demo.h5 ] && return
    apt-cache show "${demo_packages[@]}" >/dev/null 2>&1 && return
    if find_root && say "fetching the package lists" && update_lists; then return; fi
    say "note: apt-get knows no ${demo_packages[*]}, which the demo's documents are made of;
'apt-get update' (as root) renews its lists"
}

# Where there is no apt-get, what is missing is named here (commands) or by CMake (libraries).
check_other_system() {
    local command_name absent=()
    local -a needed=(g++ cmake ninja git mpirun python3)
    [ "$slurm" = no ] || needed+=(slurmctld slurmd sbatch)
    for command_name in "${needed[@]}"; do
        command -v "$command_name" >/dev/null || absent+=("$command_name")
    done
    say "this is $system, which has no apt-get. longrope needs:
    a C++20 compiler with OpenMP (GCC 12 or newer), CMake 3.25, Ninja, Git, Open MPI 4.1,
    HDF5 1.10 (C, serial) with h5dump, Boost 1.81 with Boost.JSON and Boost.Context, OpenSSL 3, cxxopts 3, toml++ 3,
    fmt 9, oneDNN 2.6, OpenCL headers and loader (for oneDNN), doctest 2.4, Python 3.11 with venv"
    [ ${#absent[@]} -eq 0 ] || fail "not found: ${absent[*]}. Install these and the libraries, then run this again."
    say "the commands are here; CMake will name the libraries that are not"
}

# --- Python ---------------------------------------------------------------------------------------

install_python_packages() {
    local python=.venv/bin/python
    local -a requirements=(-r scripts/requirements.txt)
    [ "$training" = no ] || requirements+=(-r scripts/requirements-training.txt)
    [ "$tidy" = no ] || requirements+=(-r scripts/requirements-tidy.txt)
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
            fail "$PYTHON is $("$PYTHON" --version 2>&1); Python 3.11 or newer is needed: give it as PYTHON=..."
        # One without pip: another program's, whose packages are left alone, or half made by an earlier start.
        if [ -x "$python" ] && ! "$python" -m ensurepip >/dev/null 2>&1 &&
            [ -n "$(find .venv/lib -path '*/site-packages/*' -print -quit 2>/dev/null)" ]; then
            fail ".venv has packages but no pip, and cannot be given it: move it away, or install pip in it"
        fi
    fi
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        say "making the Python environment .venv with $PYTHON"
        "$PYTHON" -m venv --clear .venv ||
            fail "cannot make .venv with $PYTHON; its module venv is the package python3-venv"
    fi
    # pip asks the network for nothing that is installed already.
    "$python" -m pip install --quiet --disable-pip-version-check --no-input "${requirements[@]}" ||
        fail "pip could not install the Python packages (above). They come from the package index that pip is
configured for; behind a proxy set https_proxy, then run this again."
}

# The Python side of the package asks for compilers of its own, which headers do without.
install_cuda_packages() {
    [ "$cuda" = yes ] || command -v nvcc >/dev/null || return 0
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --no-deps \
        -r scripts/requirements-cuda.txt && return
    [ "$cuda" = no ] || fail "pip could not install the packages for CUDA (above)"
    say "note: pip could not install the packages for CUDA (above): without cuDNN's frontend the GPU backend will be left out"
}

# --- Main -----------------------------------------------------------------------------------------

training=no slurm=no tidy=no cuda=no
for argument in "$@"; do
    case $argument in
        --training) training=yes ;;
        --tidy) tidy=yes ;;
        --slurm) slurm=yes packages+=("${slurm_packages[@]}") ;;
        --cuda) cuda=yes ;;
        --fuzzing) packages+=("${fuzzing_packages[@]}") ;;
        --help | -h) usage; exit 0 ;;
        *) usage >&2; say "unknown argument: $argument"; exit 2 ;;
    esac
done

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck disable=SC1091
system=$(. /etc/os-release 2>/dev/null; echo "${PRETTY_NAME:-$(uname -s)}")
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
    install_packages
else
    check_other_system
fi
# The system's own Python has the venv module that was just installed.
[ -n "$PYTHON" ] || { [ -x /usr/bin/python3 ] && PYTHON=/usr/bin/python3; } || PYTHON=python3
install_python_packages
install_cuda_packages
say "everything is installed"
