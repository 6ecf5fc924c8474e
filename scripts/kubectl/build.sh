#!/usr/bin/env bash
# Builds kubectl from its Go modules: build.sh FOLDER writes FOLDER/kubectl, unless it is there from the same sources.
set -euo pipefail
sources=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:?the folder to put kubectl into}

hash=$(cat "$sources"/{go.sum,go.mod,main.go,build.sh} | sha256sum | cut -c 1-16)
if [ -x "$folder/kubectl" ] && [ "$(cat "$folder/.kubectl-sources" 2>/dev/null)" = "$hash" ]; then exit 0; fi

command -v go >/dev/null || { echo 'kubectl is built with Go 1.26 or newer: install it from https://go.dev/dl' >&2; exit 1; }
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
version=$(sed -n 's|^\tk8s.io/kubectl v0\.||p' "$sources/go.mod")
info=k8s.io/component-base/version
echo "building kubectl v1.$version into $folder; the first time takes a few minutes" >&2
# Built beside its place and moved there, so that an interrupted build leaves nothing that looks like kubectl.
(cd "$sources" && go build -trimpath -buildvcs=false -o "$folder/.kubectl-$$" -ldflags "-s -w \
  -X $info.gitVersion=v1.$version -X $info.gitMajor=1 -X $info.gitMinor=${version%%.*} -X $info.gitTreeState=clean" .)
mv "$folder/.kubectl-$$" "$folder/kubectl"
echo "$hash" >"$folder/.kubectl-sources"
