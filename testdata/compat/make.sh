#!/usr/bin/env bash
# Makes testdata/compat/NAME with the programs of one commit: a repository, a bundle, and what installations remember.
#
#     testdata/compat/make.sh COMMIT NAME
#
# The test TestCompat in internal/compat reads every folder here for ever after. Never make a folder anew: add another one
# when a release of Theseus is tagged, and when a format is about to change. Needs git, Go and strace (Linux); what it makes has
# other keys and dates in each run.
set -euo pipefail
commit=$1 name=$2
here=$(cd "$(dirname "$0")" && pwd) top=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
lab=$(mktemp -d) out=$here/$name
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$lab"' EXIT
[ ! -e "$out" ] || { echo "$out exists, and must stay as it is" >&2; exit 2; }
mkdir -p "$lab/src" "$lab/bin" "$out/machine"
git -C "$top" archive "$commit" | tar -x -C "$lab/src"
(cd "$lab/src/cmd/theseus" && go build -o "$lab/bin/theseus" .)
for v in 1.0.0 1.1.0 1.2.0 1.3.0 1.4.0; do
  (cd "$lab/src/cmd/hello" && go build -ldflags "-s -w -X main.version=$v" -o "$lab/bin/hello-$v" .)
done
PATH=$lab/bin:$PATH
cd "$lab"

# A repository with small files: every member of a channel and a manifest that the tool can write, keys that were replaced.
for who in theseus alice bob ci ci2; do theseus keygen --out $who >/dev/null; done
program() { mkdir -p "dist/$1"; printf '#!/bin/sh\necho %s\n%s\n' "$1" "$(seq "$2" 4000)" > "dist/$1/hello"; echo "dist/$1/hello"; }
publish() { # VERSION CHANNEL more
  local v=$1 c=$2; shift 2
  theseus publish --repo repo --app hello --version "$v" --channel "$c" --expires 3650d --deltas 0 \
    --artifact "linux/amd64=$(program "$v" 1)" --artifact "linux/arm64=$(program "$v" 2)" "$@" >/dev/null
}
publish 1.0.0 stable --key theseus.key
publish 1.1.0 stable --key theseus.key --floor
publish 1.2.0 stable --key theseus.key --minimum 1.1.0 --critical-below 1.1.0
publish 1.3.0 stable --key theseus.key --rollout 5%,100%@72h
publish 2.0.0-rc.1 beta --allow new-channel --key theseus.key
theseus pause --repo repo --channel beta --version 2.0.0-rc.1 --reason "größer, langsamer" --key theseus.key >/dev/null
theseus yank --repo repo --channel stable --version 1.2.0 --reason "loses settings" --back 1.1.0 --key theseus.key >/dev/null
theseus bundle --repo repo --key theseus.pub --platform linux/amd64 --version 1.3.0 --out "$out/bare.bundle" >/dev/null
cp -R repo/stable stable.0
theseus trust init --from theseus.pub --app hello --out trust-1 --expires 3650d --trust 1:alice.pub,bob.pub \
  --release 1:theseus.pub,alice.pub --channel 1:ci.pub >/dev/null
theseus sign trust-1 --key theseus.key --key alice.key >/dev/null
theseus trust publish trust-1 --repo repo --from theseus.pub --key ci.key >/dev/null
theseus trust init --from repo/trust/1 --out trust-2 --channel 1:ci2.pub >/dev/null
theseus sign trust-2 --key bob.key >/dev/null
theseus trust publish trust-2 --repo repo --from theseus.pub --key ci2.key >/dev/null
theseus verify --repo repo --key theseus.pub >/dev/null
theseus bundle --repo repo --key theseus.pub --platform linux/amd64 --version 1.3.0 --out "$out/hello.bundle" >/dev/null
cp -R repo "$out/repo"; cp stable.0 "$out/stable-under-the-bare-key"; cp theseus.pub "$out/theseus.pub"

# What installations remember. The same keys, the real program, another repository, which is a project of its own.
rm -f theseus.yaml theseus.lock theseus.root
mkdir served
offer() { theseus publish --repo served --app hello --version "$1" --channel stable --key "$2" --expires 3650d --deltas 0 \
  --artifact "$(go env GOOS)/$(go env GOARCH)=bin/hello-$1" >/dev/null; }
self() { local dir=$1; shift; "$lab/$dir/hello" --updates "file://$lab/served" --key "$lab/theseus.pub" self-update "$@" >/dev/null 2>&1 || true; }
keep() { mkdir -p "$out/machine/$2"; cp "$1/.hello.theseus/state" "$out/machine/$2/state"; }
fresh() { mkdir "$1"; cp bin/hello-1.0.0 "$1/hello"; }
# prove DIR: it runs until it has proved itself.
prove() {
  "$lab/$1/hello" --updates "file://$lab/served" --key "$lab/theseus.pub" --listen "unix:$lab/$1/s" --interval 1h >/dev/null 2>&1 & local pid=$!
  for _ in $(seq 600); do grep -q '"proved": true' "$1/.hello.theseus/state" 2>/dev/null && ! grep -q '"proved": false' "$1/.hello.theseus/state" && break; sleep 0.1; done
  kill $pid; wait $pid || true
}
# cut DIR CALL N ARGS: the N-th CALL of self-update ARGS kills it.
cut() { local dir=$1 call=$2 n=$3; shift 3
  kill_at "$call" "$n" "$lab/$dir/hello" --updates "file://$lab/served" --key "$lab/theseus.pub" self-update "$@"; }
kill_at() { # CALL N COMMAND
  local call=$1 n=$2; shift 2
  (strace -f -qq -o /dev/null -e trace="$call" -e inject="$call:signal=SIGKILL:when=$n" "$@" >/dev/null 2>&1 || true) 2>/dev/null; }
journal() { grep -q '"journal"' "$1/.hello.theseus/state" 2>/dev/null; }

offer 1.0.0 theseus.key
fresh checked; self checked --check; keep checked checked
offer 1.1.0 theseus.key
fresh one; self one; keep one installed; cp -R one unproved
prove one; keep one proved
cp -R one two; offer 1.2.0 theseus.key; self two; prove two; keep two two-kept-versions
cp -R two three; self three --rollback; keep three rolled-back
# Interrupted: the first call of a kind after which a journal is there.
for step in swap rollback; do
  for call in linkat renameat; do
    for n in $(seq 12); do
      rm -rf cut; cp -R two cut
      if [ $step = swap ]; then rm -rf cut; cp -R one cut; cut cut $call "$n"; else cut cut $call "$n" --rollback; fi
      if journal cut; then keep cut "interrupted-$step-$call"; break; fi
    done
  done
done
for n in $(seq 12); do # three starts without a proof: the fourth recover undoes
  rm -rf cut; cp -R unproved cut
  for _ in 1 2 3; do theseus recover "$lab/cut/hello" >/dev/null 2>&1 || true; done
  kill_at renameat "$n" "$lab/bin/theseus" recover "$lab/cut/hello"
  if journal cut; then keep cut interrupted-undo; break; fi
done
# A release that failed its probe is remembered.
printf '#!/bin/sh\nexit 3\n' > bin/hello-1.3.0; offer 1.3.0 theseus.key; cp -R two four; self four; keep four failed
# Keys that were replaced are remembered.
theseus trust init --from theseus.pub --app hello --out t1 --expires 3650d --channel 1:ci.pub >/dev/null
theseus sign t1 --key theseus.key >/dev/null
theseus trust publish t1 --repo served --from theseus.pub --key ci.key >/dev/null
theseus publish --repo served --app hello --version 1.2.0 --channel stable --key ci.key >/dev/null 2>&1 || true
cp -R two five; self five --check; keep five keys-replaced
printf '%s\n' "Made by testdata/compat/make.sh with the programs of commit $(git -C "$top" rev-parse "$commit"), on $(date -u +%F)." > "$out/README"
find "$out" -type f | sort | sed "s|$out/||"; du -sh "$out"
