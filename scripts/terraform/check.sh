#!/usr/bin/env bash
# Parses every file of terraform/ and fails on one that is wrong or not in Terraform's own format. check.sh --write mends
# the format. HCL's formatter is built from its Go module into .cache/terraform the first time.
set -euo pipefail
sources=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$sources/../../.cache/terraform
hash=$(cat "$sources"/go.{mod,sum} | sha256sum | cut -c 1-16)

if [ "$(cat "$folder/.sources" 2>/dev/null)" != "$hash" ]; then
  command -v go >/dev/null || { echo 'hclfmt is built with Go 1.24 or newer: https://go.dev/dl' >&2; exit 1; }
  mkdir -p "$folder"
  (cd "$sources" && go build -trimpath -buildvcs=false -o "$folder/hclfmt" github.com/hashicorp/hcl/v2/cmd/hclfmt)
  echo "$hash" >"$folder/.sources"
fi

mapfile -t files < <(find "$sources/../../terraform" -name '*.tf' | sort)
if [ "${1:-}" = --write ]; then "$folder/hclfmt" -w "${files[@]}"; fi
"$folder/hclfmt" -check -require-no-change "${files[@]}" >/dev/null
echo "terraform/: ${#files[@]} files are right and formatted"
