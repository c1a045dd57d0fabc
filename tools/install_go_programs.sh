#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what a list of programs names, with `go install`. What is there in that version is left alone.
#
#   tools/install_go_programs.sh requirements/go.txt cluster-deps
set -eu
cd "$(dirname "$0")/.."
list=$1 target=$2

command -v go >/dev/null || {
  echo "$target: there is no Go here. Install 1.25 or newer (https://go.dev/doc/install; a" >&2
  echo "  distribution's package is often older), put it into PATH, and run  make $target  again." >&2
  echo "  What it installs is named, with what it is for, in $list." >&2
  exit 1
}
bin=$(go env GOBIN)
[ -n "$bin" ] || bin=$(go env GOPATH)/bin

sed -e 's/#.*//' -e '/^ *$/d' "$list" | while read -r package version; do
  program=$bin/$(basename "$package")
  if go version -m "$program" 2>/dev/null | grep -q "mod.*$version\b"; then
    echo "$target: $program is $version already"
    continue
  fi
  echo "$target: go install $package@$version into $bin (a minute or two)"
  # No C in it: the program runs wherever it is copied to.
  CGO_ENABLED=0 go install "$package@$version" || {
    echo "$target: $package@$version could not be built with $(go version); it needs Go 1.25" >&2
    echo "  or newer, and the network (or a filled module cache)." >&2
    exit 1
  }
done
