# Shared by the commands under tools/: messages, installing what is missing, calling Bazel.
# Source it after setting `me` to the command's name. Everything it says goes to stderr.
# shellcheck shell=bash

repo_root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)

say() { printf '%s: %s\n' "$me" "$*" >&2; }

# die STATUS MESSAGE...
die() {
  local status=$1
  shift
  say "$@"
  exit "$status"
}

# --- what the machine must have ---

# Debian's names. bazel-bootstrap brings the C and C++ compilers, python3 and a Java run-time with it.
packages_bazel=(bazel-bootstrap)
packages_workspace=(bazel-platforms bazel-skylib bazel-rules-java bazel-rules-proto)
packages_gcc=(gcc g++ libc6-dev)
packages_gtest=(googletest)
packages_valgrind=(valgrind)
# For the tests of crashes; its own Python finds that of packages_hakmem.
packages_gdb=(gdb)
# What tools/hakmem and its tests are written with.
packages_hakmem=(python3 python3-pyelftools python3-rich python3-protobuf python3-prometheus-client)

# The clang that this release calls just `clang`, with the run-time libraries of its sanitizers.
packages_clang() {
  local version
  version=$(apt-cache depends clang 2>/dev/null | sed -n 's/^ *Depends: clang-\([0-9][0-9]*\)$/\1/p' | head -n 1)
  echo "clang libclang-rt-${version:-14}-dev llvm"
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# has_own PROGRAM: it is there and not for Debian's packages to install.
has_own() {
  local path
  path=$(type -P "$1") && { [ "$path" != "/usr/bin/$1" ] || ! command -v dpkg-query >/dev/null; }
}

# need_packages PACKAGE...: installs those that are missing, or says which line would.
need_packages() {
  local missing=() package
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "cannot install packages here: this is not Debian or a relative of it (no apt-get)"
    die 1 "install by hand what Debian calls: $*"
  fi
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  [ ${#missing[@]} -eq 0 ] && return 0

  local line="apt-get install --yes --no-install-recommends ${missing[*]}" become=()
  if [ "$(id -u)" != 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
      become=(sudo -n)
    else
      die 1 "missing packages, and only root can install them. Run: sudo $line"
    fi
  fi
  say "installing ${missing[*]}"
  local apt=("${become[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=600)
  local log
  log=$(mktemp) || die 1 "cannot write to the temporary folder"
  # A fresh machine may have no package lists, or stale ones: fetch them only where the first try fails.
  if ! "${apt[@]}" install --yes --no-install-recommends "${missing[@]}" >"$log" 2>&1 &&
    ! { "${apt[@]}" update && "${apt[@]}" install --yes --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die 1 "could not install: ${missing[*]}. By hand: $line"
  fi
  rm -f "$log"
}

# What draws the charts of bench/runner/page.py, which does without where it cannot be had.
need_charts() {
  [ -e /usr/share/javascript/chart.js/chart.min.js ] || (need_packages libjs-chart.js) ||
    say "the page will have tables only: there is no Chart.js"
}

# The Python libraries of tools/hakmem: Debian's packages, or whatever this Python finds under the same names. Sets
# python_command: a Python of one's own, first in the path, does not see Debian's.
need_python_libraries() {
  local missing
  # Only looked for: to import them takes longer than many a command. Debian's first, as a shim in its place may be slow.
  local look='import importlib.util as i
for n in "elftools", "rich", "google.protobuf":
    if i.find_spec(n) is None: raise ImportError(f"No module named {n!r}")'
  for python_command in /usr/bin/python3 python3; do
    missing=$("$python_command" -c "$look" 2>&1) && return 0
  done
  command -v dpkg-query >/dev/null || die 1 "python3 lacks a library (${missing##*$'\n'}). Needed: pyelftools rich protobuf"
  need_packages "${packages_hakmem[@]}"
  python_command=/usr/bin/python3
}

need_linux() {
  [ "$(uname -s)" = Linux ] || die 1 "HAKMEM runs on Linux; this is $(uname -s)"
  case $(uname -m) in
    x86_64 | aarch64) ;;
    *) die 1 "HAKMEM runs on x86_64 and aarch64; this is $(uname -m)" ;;
  esac
}

# --- Bazel ---

# check_configs NAME...: each is `default`, one of .bazelrc's configurations, or several joined by +.
check_configs() {
  local config part
  for config in "$@"; do
    for part in ${config//+/ }; do
      [ "$part" = default ] || grep -q "^build:$part " "$repo_root/.bazelrc" || die 2 "no such configuration: $part"
    done
  done
}

# Sets bazel_command to the user's own Bazel where there is one ($BAZEL, bazel, bazelisk), to Debian's otherwise.
# HAKMEM_TOOL_BAZEL_MODULES=1: Debian's Bazel 7 reads MODULE.bazel too, for machines that tell it where the modules are.
need_bazel() {
  local candidate path
  bazel_command=()
  for candidate in ${BAZEL:+"$BAZEL"} bazel bazelisk; do
    path=$(type -P "$candidate") || continue
    bazel_command=("$path")
    break
  done
  if [ ${#bazel_command[@]} -eq 0 ]; then
    [ -z "${BAZEL:-}" ] || die 1 "no such program: $BAZEL (from the variable BAZEL)"
    need_packages "${packages_bazel[@]}" "${packages_workspace[@]}"
    bazel_command=(/usr/bin/bazel)
  fi
  # A cache for Bazel where there is no home folder to put it.
  if [ -z "${HOME:-}" ] || [ ! -w "$HOME" ]; then
    local cache=${TMPDIR:-/tmp}/hakmem-bazel-$(id -u)
    mkdir -p -m 700 "$cache" && [ -O "$cache" ] || die 1 "no home folder, and $cache is not ours to use"
    export HOME=$cache
    bazel_command+=("--output_user_root=$cache")
  fi

  bazel_major=$(cd "$repo_root" && "${bazel_command[@]}" --version 2>/dev/null | sed -n 's/^bazel \([0-9][0-9]*\).*/\1/p')
  # Debian's Bazel 4 does not tell its version.
  bazel_major=${bazel_major:-4}
  bazel_flags=()
  if is_debians_bazel; then
    need_packages "${packages_bazel[@]}" "${packages_workspace[@]}"
    [ "$bazel_major" -lt 7 ] || [ -n "${HAKMEM_TOOL_BAZEL_MODULES:-}" ] || bazel_flags=(--config=workspace)
  elif [ "$bazel_major" -lt 7 ]; then
    need_packages "${packages_workspace[@]}"
  elif ! type -P gcc >/dev/null || ! type -P g++ >/dev/null; then
    need_packages "${packages_gcc[@]}"
  fi
}

# Bazel 7 and later take their libraries from the central registry (MODULE.bazel). Older ones (WORKSPACE), and
# Debian's in every version, take them from Debian's packages.
is_debians_bazel() { [ "${bazel_command[0]}" -ef /usr/bin/bazel ] && is_installed bazel-bootstrap; }
uses_debians_sources() { [ "$bazel_major" -lt 7 ] || is_debians_bazel; }

# bazel COMMAND ARGS...: Bazel in the repository, without progress lines where nobody watches.
bazel() {
  local quiet=()
  [ -t 2 ] || quiet=(--noshow_progress --noshow_loading_progress)
  local verb=$1
  shift
  (cd "$repo_root" && "${bazel_command[@]}" "$verb" "${bazel_flags[@]}" "${quiet[@]}" "$@")
}

# build_quietly TARGET...: builds without a word, or shows the end of the log and gives up.
build_quietly() {
  local log
  log=$(mktemp) || die 1 "cannot write to the temporary folder"
  if ! bazel build --noshow_progress "$@" >"$log" 2>&1; then
    tail -n 40 "$log" >&2
    rm -f "$log"
    die 1 "could not build $*"
  fi
  rm -f "$log"
}
