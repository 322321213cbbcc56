#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A wrong key, a missing key or a wrong passphrase is status 5 and changes nothing; more slots can be
# added and removed; the last slot stays.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
start
echo secret >"$M/file"
stop
before=$(volume_sums)

"$FSPF" keygen "$T/other"
[[ $(stat -c %a "$T/other") == 600 ]] || fail "keygen made a key file that others can read"
# shellcheck disable=SC2034 # used by name
wrong=(--key-file "$T/other" --tag-file "$G")
# shellcheck disable=SC2034
none=(--tag-file "$G")
(umask 077 && printf "a passphrase\n" >"$T/words")
words=(--passphrase-file "$T/words" --tag-file "$G")
for auth in wrong none words; do
	declare -n options=$auth
	want_error 5 '' "$FSPF" mount "$V" "$M" "${options[@]}"
	! mountpoint -q "$M" || fail "mounted with credentials: $auth"
	want_error 5 '' "$FSPF" export "$V" "${options[@]}" /file "$T/leaked"
	[[ ! -e $T/leaked ]] || fail "exported with credentials: $auth"
	want_error 5 '' "$FSPF" addf "$V" "${options[@]}" /x /etc/hostname
done
run env FSPF_KEY="$(cat "$T/other")" "$FSPF" tag "$V" --tag-file "$G"
[[ $(volume_sums) == "$before" ]] || fail "the volume's bytes changed"

note "the key in the environment"
want 0 '' env FSPF_KEY="$(cat "$K")" "$FSPF" export "$V" --tag-file "$G" /file "$T/out1"
[[ $(cat "$T/out1") == secret ]] || fail "exported other bytes"

note "slots"
want 0 '' "$FSPF" key add "$V" --key-file "$K" --new-passphrase-file "$T/words"
want 0 '' "$FSPF" export "$V" "${words[@]}" /file "$T/out2"
[[ $(cat "$T/out2") == secret ]] || fail "exported other bytes"
want 0 '' "$FSPF" key add "$V" --passphrase-file "$T/words" --new-key-file "$T/other"
want 0 '' "$FSPF" export "$V" "${wrong[@]}" /file "$T/out3"
want 0 '' "$FSPF" key list "$V"
want 0 '' "$FSPF" key list "$V" --json
python3 -m json.tool <"$T/out" >/dev/null || fail "key list --json is not JSON"
want 0 '' "$FSPF" key remove "$V" --key-file "$T/other" 0
want_error 5 '' "$FSPF" export "$V" "${AUTH[@]}" /file "$T/out4"
want 0 '' "$FSPF" export "$V" "${words[@]}" /file "$T/out5"
want 0 '' "$FSPF" key remove "$V" --passphrase-file "$T/words" 2
want_error 1,2,5 '' "$FSPF" key remove "$V" --passphrase-file "$T/words" 1
want 0 '' "$FSPF" export "$V" "${words[@]}" /file "$T/out6"
AUTH=("${words[@]}")
start
[[ $(cat "$M/file") == secret ]] || fail "other bytes through the mount"
stop
pass
