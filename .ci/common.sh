# SPDX-License-Identifier: BSD-3-Clause
# What .ci/run and .ci/nightly share. Sets root (the repository), work (a folder that goes away) and the clone in it.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unset XENT_NATIVE_ISA XENT_NATIVE_NUM_THREADS PYTHONPATH VIRTUAL_ENV
export PIP_DISABLE_PIP_VERSION_CHECK=1
started=$SECONDS

step() { printf '\n==> [%4d s] %s\n' "$((SECONDS - started))" "$*"; }
fail() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

# Debian's packages of programs that are missing, given as program=package; without root they stay missing.
install_programs() {
    local pair missing=()
    for pair in "$@"; do
        command -v "${pair%%=*}" > /dev/null || missing+=("${pair#*=}")
    done
    [ "${#missing[@]}" -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 0
    apt-get update -qq && apt-get install -y -qq "${missing[@]}" > /dev/null ||
        printf 'Note: could not install %s.\n' "${missing[*]}" >&2
}

# clang with its sanitizers and OpenMP.
install_clang() {
    install_programs clang=clang
    if command -v clang > /dev/null && ! printf '#include <omp.h>\n' | clang -fopenmp -fsyntax-only -x c - 2> /dev/null; then
        install_programs omp-of-clang=libomp-dev
    fi
}

# Goes into a fresh clone of HEAD.
enter_clone() {
    for tool in python3 gcc git; do
        command -v "$tool" > /dev/null || fail "$tool is missing"
    done
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "python3 must be 3.11 or later"
    git -C "$root" diff --quiet HEAD -- || printf 'Note: changes that are not committed are not tested.\n' >&2
    git clone -q "$root" "$work/clone" && cd "$work/clone" || fail "there is no clone of $root"
}

# Installs what an extra of the project names, without building the project once more.
install_extra() {
    local wanted
    mapfile -t wanted < <(python3 -c '
import sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))["project"]
print(*project["optional-dependencies"][sys.argv[1]], sep="\n")' "$1")
    [ "${#wanted[@]}" -gt 0 ] || fail "pyproject.toml has no extra $1"
    "$bin/pip" install -q "${wanted[@]}"
}
