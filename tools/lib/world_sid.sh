# The world of Debian sid, for tools/world: a folder with a whole Debian, made with debootstrap.
# Uses what tools/world has set: configs, arguments, sid_root, sid_renew, sid_bench; add_up. Needs common.sh.
# shellcheck shell=bash disable=SC2154

sid_packages=("${packages_bazel[@]}" "${packages_workspace[@]}" "${packages_gcc[@]}" "${packages_gtest[@]}" binutils python3)
sid_clang_programs=(clang clang++ llvm-cov llvm-profdata llvm-symbolizer)

# The mirror that this machine's apt takes Debian from.
debians_mirror() {
  apt-get indextargets --format '$(ORIGIN)|$(COMPONENT)|$(SITE)' 'Created-By: Packages' 2>/dev/null |
    awk -F'|' '$1 == "Debian" && $2 == "main" { print $3; exit }'
}

# in_sid COMMAND...: runs it there, in name spaces of its own: whatever it mounts or leaves running ends with it.
in_sid() {
  # shellcheck disable=SC2016
  unshare --mount --pid --fork --propagation private sh -euc '
    root=$1
    shift
    mount --rbind /dev "$root/dev"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys" 2>/dev/null || true
    exec chroot "$root" /usr/bin/env -i HOME=/root TERM="${TERM:-dumb}" DEBIAN_FRONTEND=noninteractive \
      PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
      ${http_proxy:+http_proxy="$http_proxy"} ${https_proxy:+https_proxy="$https_proxy"} "$@"
  ' sh "$sid_root" "$@"
}

# sid_quietly WHAT COMMAND...: a step of the preparation; its output only where it fails.
sid_quietly() {
  local what=$1 log
  shift
  say "$what"
  log=$(mktemp) || die 1 "cannot write to the temporary folder"
  if ! "$@" >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die 1 "failed: $what"
  fi
  rm -f "$log"
}

sid_make_root() {
  [ -e "$sid_root/.hakmem-sid" ] && return
  [ ! -e "$sid_root" ] || [ -z "$(ls -A "$sid_root")" ] ||
    die 1 "$sid_root is no folder of an earlier run: remove it or name another with --root"
  local mirror
  mirror=$(debians_mirror)
  [ -n "$mirror" ] || die 1 "apt has no Debian mirror here (apt-get indextargets names none): is this Debian?"
  mkdir -p "$sid_root"
  sid_quietly "making a Debian sid in $sid_root" \
    debootstrap --variant=minbase --include=ca-certificates sid "$sid_root" "$mirror"
  # No package starts a service.
  printf '#!/bin/sh\nexit 101\n' >"$sid_root/usr/sbin/policy-rc.d"
  chmod +x "$sid_root/usr/sbin/policy-rc.d"
  # The mirror may be one that stands still at a day; its lists are signed all the same.
  echo 'Acquire::Check-Valid-Until "false";' >"$sid_root/etc/apt/apt.conf.d/99hakmem"
  sid_renew=yes
  touch "$sid_root/.hakmem-sid"
}

# The newest clang there, before Debian's default one in the path.
sid_install_clang() {
  local newest program
  newest=$(in_sid apt-cache search --names-only '^libclang-rt-[0-9]+-dev$' |
    sed -n 's/^libclang-rt-\([0-9]*\)-dev .*/\1/p' | sort -n | tail -n 1)
  [ -n "$newest" ] || die 1 "no clang in $sid_root"
  sid_quietly "installing clang $newest there" in_sid apt-get -qq install --yes --no-install-recommends \
    "clang-$newest" "libclang-rt-$newest-dev" "llvm-$newest"
  for program in "${sid_clang_programs[@]}"; do
    ln -sfn "/usr/bin/$program-$newest" "$sid_root/usr/local/bin/$program"
  done
}

sid_install_packages() {
  [ -e "$sid_root/usr/local/bin/clang" ] && [ -z "$sid_renew" ] && return
  cp -L /etc/resolv.conf "$sid_root/etc/resolv.conf" 2>/dev/null
  sid_quietly "bringing its packages up to date" in_sid sh -c 'apt-get -qq update && apt-get -qq dist-upgrade --yes'
  sid_quietly "installing Bazel, gcc and googletest there" \
    in_sid apt-get -qq install --yes --no-install-recommends "${sid_packages[@]}"
  sid_install_clang
}

# Debian's Bazel tells itself where the modules of Debian's packages are; this adds the rest, so that MODULE.bazel
# resolves without a registry: googletest from its package, and empty ones for what Bazel's own tools name and
# HAKMEM's build never uses.
sid_install_modules() {
  local modules=$sid_root/opt/hakmem-modules module
  rm -rf "$modules"
  cp -r "$repo_root/platforms/shims/modules" "$modules"
  cp "$repo_root/platforms/shims/googletest.BUILD.bazel" "$modules/googletest/BUILD.bazel"
  ln -s /usr/src/googletest/googletest /usr/src/googletest/googlemock "$modules/googletest/"
  for module in "$modules"/*/; do
    module=$(basename "$module")
    echo "common --override_module=$module=/opt/hakmem-modules/$module"
  done >"$sid_root/etc/bazel.bazelrc"
  # The lock file of the central registry does not apply.
  echo 'common --lockfile_mode=off' >>"$sid_root/etc/bazel.bazelrc"
}

sid_copy_sources() {
  rm -rf "$sid_root/src/hakmem"
  mkdir -p "$sid_root/src/hakmem"
  if git -C "$repo_root" rev-parse --git-dir >/dev/null 2>&1; then
    (cd "$repo_root" && git ls-files -co --exclude-standard -z | tar -c --null --ignore-failed-read -T - 2>/dev/null)
  else
    tar -c -C "$repo_root" --exclude='./bazel-*' .
  fi | tar -x -C "$sid_root/src/hakmem" --no-same-owner || die 1 "cannot copy the sources to $sid_root"
}

# Measures there, beside the newest packages of the peers, and brings the results here. Ends tools/world.
sid_measure() {
  local out=$PWD/bench-results-sid status
  rm -rf "$sid_root/src/bench-results"
  in_sid env HAKMEM_TOOL_BAZEL_MODULES=1 /src/hakmem/tools/bench --out /src/bench-results "${arguments[@]}"
  status=$?
  # Where it was asked for a list or for help there are none.
  [ $status -eq 0 ] && [ -e "$sid_root/src/bench-results" ] || exit $status
  rm -rf "$out"
  cp -r "$sid_root/src/bench-results" "$out" || die 1 "cannot write to $out"
  say "results are in $out"
  exit 0
}

world_sid() {
  [ "$(id -u)" = 0 ] || die 1 "only root can make and enter the folder of another Debian: sudo tools/world sid"
  need_packages debootstrap util-linux
  sid_root=${sid_root:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/hakmem-sid}
  [ "${sid_root#/}" != "$sid_root" ] || sid_root=$PWD/$sid_root
  sid_make_root
  sid_install_packages
  sid_install_modules
  sid_copy_sources
  in_sid sh -c 'for p in gcc clang ldd; do $p --version | head -n 1; done; cd /src/hakmem && bazel --version'
  [ -z "$sid_bench" ] || sid_measure
  [ ${#arguments[@]} -gt 0 ] || arguments=(//...)
  add_up sid in_sid env HAKMEM_TOOL_BAZEL_MODULES=1 /src/hakmem/tools/test --config "${configs[@]}" -- "${arguments[@]}"
}
