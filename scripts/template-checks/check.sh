#!/usr/bin/env bash
# Has cfn-lint and checkov read every CloudFormation template under some folders: check.sh FOLDER…. Both are installed
# into .cache/template-checks the first time, which needs Python 3.10 or newer.
set -euo pipefail
sources=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$sources/../../.cache/template-checks
programs=$folder/bin
hash=$(sha256sum <"$sources/requirements.txt" | cut -c 1-16)

[ $# -gt 0 ] || { echo 'check.sh FOLDER…: which folders have templates?' >&2; exit 2; }
if [ "$(cat "$folder/.requirements" 2>/dev/null)" != "$hash" ]; then
  echo 'installing cfn-lint and checkov into .cache/template-checks; about two minutes' >&2
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$programs/pip" install -q --disable-pip-version-check -r "$sources/requirements.txt"
  echo "$hash" >"$folder/.requirements"
fi

mapfile -t templates < <(find "$@" -name '*.template.json' | sort)
[ ${#templates[@]} -gt 0 ] || { echo "there is no template under $*" >&2; exit 1; }
# By their interpreter: the first line of each names the folder that it was installed in, which may have moved since.
python() { "$programs/python" "$@"; }
failed=0
python "$programs/cfn-lint" --config-file "$sources/cfnlint.yaml" -- "${templates[@]}" || failed=1
files=()
for template in "${templates[@]}"; do files+=(-f "$template"); done
python "$programs/checkov" --config-file "$sources/checkov.yaml" "${files[@]}" || failed=1
[ $failed = 0 ] && echo "cfn-lint and checkov: nothing unexplained in ${#templates[@]} templates"
exit $failed
