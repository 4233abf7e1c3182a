# What the scripts have in common. Sourced, not run.
# shellcheck shell=bash

set -euo pipefail
# An ordinary user's PATH leaves out the folders where ip and nft live; rustup's folder may be missing in a bare shell.
PATH="${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH:/usr/local/sbin:/usr/sbin:/sbin"
export PATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
cd "$root"

say() { printf '%s\n' "$*" >&2; }
die() { printf '%s: %s\n' "$(basename "$0")" "$*" >&2; exit 1; }

# provide mysql|mariadb|chromium|all: what building and testing needs, and the servers; says what it is about to install.
provide() {
  script/bootstrap --server "$1"
}

# build PROFILE CARGO-ARGUMENT...: builds, and leaves the folder of the programs in $programs.
build() {
  local profile=$1
  shift
  local options=(--locked)
  [ "$profile" = dev ] || options+=(--profile "$profile")
  cargo build "${options[@]}" "$@" >&2
  programs=${CARGO_TARGET_DIR:-target}/$([ "$profile" = dev ] && echo debug || echo "$profile")
}

# on_hosts COMMAND...: runs it where hosts can be network namespaces: as root, or as root of a user namespace. Where
# neither can be had it runs all the same, and what needs namespaces says that it is skipped, and why.
on_hosts() {
  if [ "$(id -u)" != 0 ] && unshare --user --map-root-user --net true 2>/dev/null; then
    unshare --user --map-root-user --net -- sh -c 'ip link set lo up; exec "$@"' sh "$@"
  else
    "$@"
  fi
}
