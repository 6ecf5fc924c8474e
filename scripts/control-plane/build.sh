#!/usr/bin/env bash
# Builds a Kubernetes control plane and kubectl from their Go modules: build.sh [FOLDER], .cache/control-plane of this
# checkout unless given. What is there from the same sources stays.
set -euo pipefail
sources=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-$sources/../../.cache/control-plane}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

say() { printf '%s\n' "$*" >&2; }
is_made() { [ -x "$folder/$1" ] && [ "$(cat "$folder/.$1-sources" 2>/dev/null)" = "$hash" ]; }

kubernetes=$(sed -n 's|^\tk8s.io/kubernetes v\([0-9.]*\).*|\1|p' "$sources/go.mod")
etcd=$(sed -n 's|^\tgo.etcd.io/etcd/server/v3 v\([0-9.]*\).*|\1|p' "$sources/go.mod")
hash=$(cat "$sources"/{go.sum,go.mod,build.sh} | sha256sum | cut -c 1-16)
programs='kubectl etcd kube-scheduler kube-controller-manager kube-apiserver'
missing=$(for program in $programs; do is_made "$program" || echo "$program"; done)
[ -n "$missing" ] || exit 0

command -v go >/dev/null || {
  say 'A control plane is built with Go 1.26 or newer: install it from https://go.dev/dl.'
  say 'Without it, the tests on a real Kubernetes are skipped, and fail where CI is set.'
  exit 1
}
info=k8s.io/component-base/version
minor=${kubernetes#*.}
stamp="-X $info.gitVersion=v$kubernetes -X $info.gitMajor=1 -X $info.gitMinor=${minor%%.*} -X $info.gitTreeState=clean"

package() {
  case $1 in
    etcd) echo go.etcd.io/etcd/server/v3 ;;
    *) echo "k8s.io/kubernetes/cmd/$1" ;;
  esac
}

say "building Kubernetes $kubernetes and etcd $etcd into $folder; the first time takes about 6 minutes on 2 cores"
for program in $missing; do
  # Built beside its place and moved there, so that an interrupted build leaves nothing that looks like a program.
  (cd "$sources" &&
    go build -trimpath -buildvcs=false -ldflags "-s -w $stamp" -o "$folder/.$program-$$" "$(package "$program")")
  mv "$folder/.$program-$$" "$folder/$program"
  echo "$hash" >"$folder/.$program-sources"
  say "$program: ready after ${SECONDS} s"
done
