#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Install what requirements/go.txt names, with `go install`. What is there in that version is left alone.
set -eu
cd "$(dirname "$0")/.."

command -v go >/dev/null || {
  echo "cluster-deps: there is no Go here. Install 1.25 or newer (https://go.dev/doc/install; a" >&2
  echo "  distribution's package is often older), put it into PATH, and run  make cluster-deps  again." >&2
  echo "  Boards of one operator need none of this." >&2
  exit 1
}
bin=$(go env GOBIN)
[ -n "$bin" ] || bin=$(go env GOPATH)/bin

sed -e 's/#.*//' -e '/^ *$/d' requirements/go.txt | while read -r package version; do
  program=$bin/$(basename "$package")
  if go version -m "$program" 2>/dev/null | grep -q "mod.*$version\b"; then
    echo "cluster-deps: $program is $version already"
    continue
  fi
  echo "cluster-deps: go install $package@$version into $bin (a minute or two)"
  # No C in it: the program runs wherever it is copied to.
  CGO_ENABLED=0 go install "$package@$version" || {
    echo "cluster-deps: $package@$version could not be built with $(go version); it needs Go 1.25" >&2
    echo "  or newer, and the network (or a filled module cache)." >&2
    exit 1
  }
done
