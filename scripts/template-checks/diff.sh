#!/usr/bin/env bash
# Synthesises every environment again, bundles and all, and compares with what was synthesised before: cdk diff has to
# find nothing, or a deployment would change what nobody changed.
# Usage: diff.sh <folder with cdk synth's output, one folder per environment>
set -uo pipefail
synthesised=$(realpath "$1")
cd "$(dirname "$0")/../.."
again=$(mktemp -d)
trap 'rm -rf "$again"' EXIT

failed=0
for folder in "$synthesised"/*/; do
  environment=$(basename "$folder")
  app=()
  for template in "$folder"*.template.json; do
    stack=$(basename "$template" .template.json)
    npx cdk diff "$stack" --exclusively --fail --quiet --template "$template" --context "env=$environment" \
      "${app[@]:---output=$again/$environment}" >"$again/log" 2>&1 && echo "$stack: no difference" ||
      { cat "$again/log"; failed=1; }
    app=("--app=$again/$environment")
  done
done
exit $failed
