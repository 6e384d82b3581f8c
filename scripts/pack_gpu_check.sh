#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Packs the built GPU checks for a machine on which nothing can be built; see --help.
set -euo pipefail

usage() {
    cat <<HELP
Builds longrope with its GPU backend here, where no GPU need be, and packs what scripts/check_gpu.sh
runs, with the libraries that it needs: for a machine that has a GPU, but neither our dependencies nor
a network. That machine must bring NVIDIA's driver, cuBLAS, NVRTC and cuDNN 9, and C and C++ libraries as new as ours.

usage: scripts/pack_gpu_check.sh FILE.tar.xz

Then there, in a checkout of the same commit: scripts/check_gpu.sh --packed FILE.tar.xz

Environment: JOBS, as for scripts/build.sh
HELP
}

say() { printf 'pack_gpu_check: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

case ${1:-} in
    --help | -h) usage; exit 0 ;;
    "") usage >&2; say "expected a file to write"; exit 2 ;;
    -*) usage >&2; say "unknown argument: $1"; exit 2 ;;
esac
[ $# -eq 1 ] || { usage >&2; say "expected one file, found $*"; exit 2; }
archive=$(realpath -m -- "$1")
[ -d "$(dirname "$archive")" ] || fail "the folder $(dirname "$archive") does not exist"

cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/build.sh --preset release -- -DLONGROPE_CUDA=ON -DLONGROPE_TESTS=ON >&2 ||
    fail "the GPU backend could not be built"

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mkdir "$folder/lib"
for built in longrope gpu_tests gpu_check liblongrope_cuda.so; do
    strip -o "$folder/$built" "build/release/$built"
done
# All but what belongs to that machine: its C and C++ libraries, and NVIDIA's.
ldd build/release/{longrope,gpu_tests,gpu_check,liblongrope_cuda.so} |
    awk '$2 == "=>" && $3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(ld-linux.*|lib(c|m|dl|rt|pthread|resolv|stdc\+\+|gcc_s)\.so\.[0-9]+|lib(cuda|cublas|cudnn|nv)[A-Za-z]*\.so.*)$' |
    xargs -I{} cp -L {} "$folder/lib/"
find "$folder/lib" -name '*.so*' -exec strip --strip-unneeded {} +
git describe --always --dirty --abbrev=12 >"$folder/commit" 2>/dev/null || echo unknown >"$folder/commit"
tar -C "$folder" --xz -cf "$archive" .
say "wrote $archive, $(du -h "$archive" | cut -f1), of $(cat "$folder/commit")"
