#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# An older copy of the whole volume is refused by every tool with status 4 and the sentence of the
# design; so is a mix of old and new files.  Without an anchor nothing opens unless it is asked for
# by name.
source "$(dirname "$0")/lib.sh"
need_mount
SENTENCE="the volume's tag is not the expected one: rollback or replacement suspected"

make_volume
start
echo 'balance: 100' >"$M/account"
head -c 300000 /dev/urandom >"$M/data"
stop
old_tag=$TAG
cp -a "$V" "$T/old"
start
echo 'balance: 3' >"$M/account"
head -c 300000 /dev/urandom >"$M/data"
stop
new_tag=$TAG
cp -a "$V" "$T/new"
[[ $old_tag != "$new_tag" ]] || fail "the tag did not change"

put() { # DIRECTORY: the host replaces the volume
	rm -rf "$V"
	cp -a "$1" "$V"
}

refused() {
	local tag_before before
	tag_before=$(cat "$G")
	before=$(volume_sums)
	want_error 4 "$SENTENCE" "$FSPF" mount "$V" "$M" "${AUTH[@]}"
	! mountpoint -q "$M" || fail "mounted all the same"
	want_error 4 "$SENTENCE" "$FSPF" verify "$V" "${AUTH[@]}"
	want_error 4 "$SENTENCE" "$FSPF" export "$V" "${AUTH[@]}" /account "$T/stale"
	want_error 4 "$SENTENCE" "$FSPF" addf "$V" "${AUTH[@]}" /x /etc/hostname
	want_error 4 "$SENTENCE" "$FSPF" mount "$V" "$M" --key-file "$K" --tag "$new_tag"
	want_error 4 "$SENTENCE" env FSPF_TAG="$new_tag" "$FSPF" mount "$V" "$M" --key-file "$K"
	[[ ! -e $T/stale ]] || fail "exported from a rolled-back volume"
	[[ $(cat "$G") == "$tag_before" ]] || fail "the tag file changed"
	[[ $(volume_sums) == "$before" ]] || fail "the volume's bytes changed"
}

note "an older copy of the whole volume"
put "$T/old"
refused

note "the old header with new segments"
put "$T/new"
cp -a "$T/old/volume.fspf" "$V/volume.fspf"
refused

note "the new header with old segments: never the old contents"
put "$T/new"
rm -rf "$V/segments"
cp -a "$T/old/segments" "$V/segments"
run "$FSPF" mount "$V" "$M" "${AUTH[@]}"
if [[ $STATUS -eq 0 ]]; then
	account=$(cat "$M/account" 2>/dev/null) || true
	[[ -z $account || $account == 'balance: 3' ]] || fail "old contents: $account"
	want 0,1 '' "$FSPF" umount "$M"
else
	[[ $STATUS -eq 3 || $STATUS -eq 4 ]] || fail "status $STATUS"
fi

note "another volume made with the same key, in its place"
rm -rf "$V"
want 0 '' "$FSPF" create "$V" --key-file "$K" --no-rollback-protection
refused

note "the right volume is accepted by each kind of anchor"
put "$T/new"
want 0 '' "$FSPF" verify "$V" "${AUTH[@]}"
want 0 '' "$FSPF" verify "$V" --key-file "$K" --tag "$new_tag"
want 0 '' env FSPF_TAG="$new_tag" "$FSPF" verify "$V" --key-file "$K"

note "without an anchor"
for command in "mount $V $M" "verify $V" "export $V /account $T/x" "addf $V /x /etc/hostname"; do
	# shellcheck disable=SC2086 # words
	want_error 1,2,4 'no-rollback-protection' "$FSPF" $command --key-file "$K"
	grep -q '^fspf: hint: ' "$T/err" || fail "no hint: $(cat "$T/err")"
done
[[ ! -e $T/x ]] || fail "exported without an anchor"

note "with --no-rollback-protection the old copy opens, and that is what it says"
put "$T/old"
AUTH=(--key-file "$K" --no-rollback-protection)
start
[[ $(cat "$M/account") == 'balance: 100' ]] || fail "other contents"
stop
pass
