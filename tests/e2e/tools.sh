#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The tools beside the mount: what they print, JSON that is JSON, tags in their order, addf and
# export of single files and over what is there, create with variables for a shell, and no secret
# anywhere.
source "$(dirname "$0")/lib.sh"
need_mount

json() { python3 -m json.tool <"$T/out" >/dev/null || fail "not JSON: $(head -3 "$T/out")"; }

note "create --envar-output"
want 0 '' "$FSPF" create "$T/shell" --envar-output
grep -qxE 'export FSPF_KEY=[0-9a-f]{64}' "$T/out" || fail "no key: $(cat "$T/out")"
grep -qxE 'export FSPF_TAG=[0-9a-f]{64}' "$T/out" || fail "no tag"
cp "$T/out" "$T/variables"
(
	# shellcheck disable=SC1091
	source "$T/variables"
	want 0 '' "$FSPF" addf "$T/shell" /passwd /etc/passwd
	tag=$(grep -oE '^[0-9a-f]{64}$' "$T/out" | tail -1)
	[[ -n $tag ]] || fail "addf prints no tag"
	want_error 4 '' "$FSPF" export "$T/shell" /passwd "$T/passwd"
	export FSPF_TAG=$tag
	want 0 '' "$FSPF" export "$T/shell" /passwd "$T/passwd"
	cmp /etc/passwd "$T/passwd" || fail "other bytes"
)

make_volume
mkdir -p "$T/tree/sub"
echo one >"$T/tree/one"
echo two >"$T/tree/sub/two"
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" /public --authenticated
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /public "$T/tree"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /a/b/c "$T/tree"
note "addf replaces what has the same name"
echo changed >"$T/tree/one"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /a/b/c "$T/tree"
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" /a/b/c "$T/out1"
tree compare "$T/tree" "$T/out1" || fail "differs"
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" / "$T/out2"
[[ $(cat "$T/out2/public/one" "$T/out2/a/b/c/one") == $'one\nchanged' ]] || fail "export / is not whole"

note "tags"
want 0 '' "$FSPF" tag "$V" "${AUTH[@]}"
[[ $(head -1 "$T/out") == "$(cat "$G")" ]] || fail "the first line is not the volume's tag"
[[ $(grep -cxE '[0-9a-f]{64}.*' "$T/out") == $(wc -l <"$T/out") ]] || fail "other lines: $(cat "$T/out")"
want 0 '' "$FSPF" tag "$V" "${AUTH[@]}" /public
want 0 '' "$FSPF" tag "$V" "${AUTH[@]}" --json
json

note "show, verify, dump"
for command in show verify; do
	want 0 '' "$FSPF" "$command" "$V" "${AUTH[@]}"
	[[ -s $T/out ]] || fail "$command prints nothing"
	want 0 '' "$FSPF" "$command" "$V" "${AUTH[@]}" --json
	json
done
[[ -n $FSPF_DUMP ]] || fail "no fspf-dump"
want 0 '' "$FSPF_DUMP" "$V"
! grep -q '/a/b' "$T/out" || fail "the dump shows an encrypted name without the key"
want 0 '' "$FSPF_DUMP" "$V" "${AUTH[@]}"
want 0 '' "$FSPF_DUMP" "$V" "${AUTH[@]}" --json
json
want 0 '' "$FSPF_DUMP" "$V" "${AUTH[@]}" --path /public/one
want 0 '' "$FSPF_DUMP" "$V" "${AUTH[@]}" --path /public/one --json
json

note "while it is mounted: show and tag look on"
start
echo later >"$M/later"
want 0 '' "$FSPF" show "$V" --key-file "$K"
want 0 '[0-9a-f]{64}' "$FSPF" tag "$V" --key-file "$K"
key=$(cat "$K")
! tr '\0' '\n' <"/proc/$DAEMON/environ" | grep -qF "$key" || fail "the key is in the daemon's environment"
! tr '\0' '\n' <"/proc/$DAEMON/cmdline" | grep -qF "$key" || fail "the key is on the daemon's command line"
[[ $(awk '/Max core/ {print $5}' "/proc/$DAEMON/limits") == 0 ]] || fail "the daemon may dump core"
stop

note "the key in the environment is gone from it once read"
FSPF_KEY=$key "$FSPF" mount "$V" "$M" -f --tag-file "$G" >"$T/daemon.log" 2>&1 &
DAEMON=$!
for ((i = 0; i < 200; i++)); do ! mountpoint -q "$M" || break; sleep 0.05; done
! tr '\0' '\n' <"/proc/$DAEMON/environ" | grep -qF "$key" || fail "the key stays in the daemon's environment"
stop
for program in "$FSPF" "$FSPF_DUMP"; do
	want 0 '' "$program" --help
	want 0 '[0-9]\.[0-9]' "$program" --version
done
note "output that cannot be written is a failure"
if [[ -c /dev/full ]]; then
	run sh -c "'$FSPF' show '$V' >/dev/full"
	[[ $STATUS -ne 0 ]] || fail "a full disk under standard output went unnoticed"
fi
pass
