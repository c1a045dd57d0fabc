#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what a list names, by apt: tools/install_system_packages.sh FILE TARGET
# Where all of it is here, nothing is asked of the network.
#
# Versions are those of one Debian release; on another release the packages come as that release has them.
set -eu
cd "$(dirname "$0")/.."
list_file=$1
target=$2

list() { sed -e 's/#.*//' -e '/^ *$/d' "$list_file"; }

missing=$(list | while read -r name _; do
  dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q ' installed$' || echo "$name"
done)
if [ -z "$missing" ]; then
  echo "$target: all installed"
  exit 0
fi
command -v apt-get >/dev/null || {
  echo "$target: no apt-get here; install by other means:" $missing >&2
  exit 1
}
as_root=""
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "$target: run it as root; missing:" $missing >&2; exit 1; }
  as_root=sudo
fi
release=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
wanted=$(list | while read -r name version; do
  case " $(echo $missing) " in *" $name "*) ;; *) continue ;; esac
  if [ "$release" = bookworm ]; then echo "$name=$version*"; else echo "$name"; fi
done)
echo "$target: installing" $wanted
$as_root apt-get update -qq
# A package's own service would take port 80: what a test needs, it starts itself.
$as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
  apt-get install -y -qq --no-install-recommends $wanted >/dev/null
