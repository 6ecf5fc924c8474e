#!/usr/bin/env bash
# Brings real database servers for the tests: install.sh [FOLDER], .cache/servers of this checkout unless given.
#
# Each is unpacked with all that it needs into a small Debian system of its own and run there by chroot, so that the
# versions don't depend on this machine, and no service is installed, configured or started on it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
folder=${1:-.cache/servers}
export LC_ALL=C # there are no locales in the systems

# Root, suite, packages. sid has MySQL, and the newest of the others; MySQL's and MariaDB's packages exclude each other.
roots='
bookworm     bookworm  postgresql-15,mariadb-server-core,mariadb-client-core,libcrack2,redis-server
sid          sid       mysql-server-core,redis-server,valkey-server
sid-mariadb  sid       mariadb-server-core,mariadb-client-core,libcrack2
'
# What the servers' own scripts call.
tools=dash,coreutils,sed,grep,hostname

say() { printf '%s\n' "$*" >&2; }
give_up() {
  say "npm run servers: $*"
  say 'Without them, tests on PostgreSQL 15, MySQL, MariaDB, Redis and Valkey are skipped, and fail where CI is set.'
  exit 1
}

recipe=$(sha256sum scripts/servers/install.sh | cut -c 1-16)
is_made() { [ "$(cat "$folder/$1/.complete" 2>/dev/null)" = "$recipe" ]; }

missing=$(while read -r root _; do [ -z "$root" ] || is_made "$root" || echo "$root"; done <<<"$roots")
[ -n "$missing" ] || exit 0

[ "$(uname -s)" = Linux ] || give_up "needs Linux, and this is $(uname -s)."
[ "$(id -u)" = 0 ] || give_up 'needs root: the servers run in systems of their own, which only root may enter (chroot).'
command -v apt-get >/dev/null || give_up 'needs apt-get, of Debian or a relative.'

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
exec 9>"$folder/.lock"
flock 9

if ! command -v mmdebstrap >/dev/null; then
  say 'installing mmdebstrap, which makes the systems'
  (apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends mmdebstrap) \
    >"$folder/apt.log" 2>&1 || { tail -n 5 "$folder/apt.log" >&2; give_up 'mmdebstrap could not be installed.'; }
fi

debian_mirror() { apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(REPO_URI)' | sed -n 's/^Debian|Debian|//p' | head -n 1; }
mirror=${DEBIAN_MIRROR:-$(debian_mirror)}
if [ -z "$mirror" ]; then
  apt-get update -q >"$folder/apt.log" 2>&1 || true
  mirror=$(debian_mirror)
fi
[ -n "$mirror" ] || give_up "found no mirror of Debian in apt's sources: name one in DEBIAN_MIRROR."

# Unpacked only: no package's script runs, so nothing is set up that the tests would not use.
unpack() { # root suite packages
  local hooks=()
  # MariaDB's plugins come with the whole server alone; of that, nothing else is unpacked. Nor of what makes the
  # dictionary for one of them.
  [[ $3 != *mariadb-server-core* ]] || hooks=(--extract-hook='cd "$1/tmp" &&
    APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download -q \
      mariadb-server mariadb-plugin-cracklib-password-check cracklib-runtime &&
    for deb in mariadb-*.deb; do dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$1" ./usr/lib/mysql/plugin || exit; done &&
    dpkg-deb --extract cracklib-runtime_*.deb cracklib && mv cracklib/usr/sbin/cracklib-packer "$1/usr/sbin" &&
    mkdir -p "$1/usr/share/dict" && mv cracklib/usr/share/dict/* "$1/usr/share/dict" && rm -r cracklib ./*.deb')
  # A mirror may lag behind; packages are verified all the same.
  mmdebstrap --quiet --variant=extract --include="$3,$tools,base-files" --aptopt='Acquire::Check-Valid-Until "false"' \
    --setup-hook='cd "$1" && for d in bin sbin lib lib64; do mkdir -p "usr/$d" && ln -s "usr/$d" "$d"; done' \
    ${hooks[@]+"${hooks[@]}"} "$2" "$1" "$mirror" || return
  printf '%s\n' 'root:x:0:0::/root:/bin/sh' 'nobody:x:65534:65534::/nonexistent:/bin/sh' >"$1/etc/passwd"
  printf '%s\n' 'root:x:0:' 'nogroup:x:65534:' >"$1/etc/group"
  printf '%s\n' '127.0.0.1 localhost' >"$1/etc/hosts"
  mkdir -p "$1/srv"
}

# An empty data directory, which each server of the tests starts from a copy of.
initialise() { # root
  if [ -x "$1/usr/bin/mariadb-install-db" ]; then
    mkdir -p "$1/var/cache/cracklib"
    LC_ALL=C sort -u "$1/usr/share/dict/cracklib-small" |
      chroot "$1" cracklib-packer /var/cache/cracklib/cracklib_dict >&2
    chroot "$1" mariadb-install-db --no-defaults --user=root --datadir=/srv/template --cross-bootstrap \
      --auth-root-authentication-method=normal --skip-test-db --innodb-log-file-size=8M
  elif [ -x "$1/usr/sbin/mysqld" ]; then
    chroot "$1" mysqld --no-defaults --user=root --datadir=/srv/template --initialize-insecure \
      --secure-file-priv=NULL --skip-log-bin --innodb-redo-log-capacity=8M
  fi
}

make() { # root suite packages
  local new="$folder/.new-$1" log="$folder/$1.log"
  rm -rf "$new"
  if ! { unpack "$new" "$2" "$3" && initialise "$new"; } >"$log" 2>&1; then
    tail -n 5 "$log" >&2
    rm -rf "$new"
    return 1
  fi
  echo "$recipe" >"$new/.complete"
  # Moved to its place when whole, so that an interrupted run leaves nothing that looks like a server.
  rm -rf "$folder/.old-$1"
  [ ! -e "$folder/$1" ] || mv "$folder/$1" "$folder/.old-$1"
  mv "$new" "$folder/$1"
  # Servers may still be running in the old one; then it goes the next time.
  [ -n "$(ls -A --ignore=template "$folder/.old-$1/srv" 2>/dev/null)" ] || rm -rf "$folder/.old-$1"
  say "$1: ready after ${SECONDS} s"
}

say "unpacking PostgreSQL 15, MySQL, MariaDB, Redis and Valkey into $folder; about 900 MB, and half a minute"
jobs=()
while read -r root suite packages; do
  [ -n "$root" ] && ! is_made "$root" || continue
  make "$root" "$suite" "$packages" &
  jobs+=($!)
done <<<"$roots"
failed=0
for job in "${jobs[@]}"; do wait "$job" || failed=1; done
[ "$failed" = 0 ] || give_up "not all of them could be made; what happened is in $folder/*.log."
