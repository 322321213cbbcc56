#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# fspf umount returns when everything is durable and the daemon is gone, and prints the tag with
# which the volume then opens.  A mount in the background returns when it can be used.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
for ((round = 0; round < 5; round++)); do
	want 0 '' "$FSPF" mount "$V" "$M" "${AUTH[@]}"
	mountpoint -q "$M" || fail "mount returned and nothing is mounted"
	[[ $round == 0 ]] || [[ $(sha256sum <"$M/file") == "$sum" ]] || fail "other bytes"
	head -c $((RANDOM * 100)) /dev/urandom >"$M/file"
	sum=$(sha256sum <"$M/file")
	daemons=$(pgrep -x fspf | wc -l)
	[[ $daemons == 1 ]] || fail "$daemons daemons"
	want 0 '^[0-9a-f]{64}$' "$FSPF" umount "$M"
	[[ -z $(pgrep -x fspf) ]] || fail "umount returned and the daemon lives"
	! mountpoint -q "$M" || fail "umount returned and the mount is there"
	tag=$(cat "$T/out")
	want 0 '' "$FSPF" verify "$V" --key-file "$K" --tag "$tag"
	want 0 "$tag" cat "$G"
	# Elsewhere, at once: everything that counts is in the files.
	rm -rf "$T/moved"
	cp -a "$V" "$T/moved"
	want 0 '' "$FSPF" verify "$T/moved" --key-file "$K" --tag "$tag"
done

note "pinned tags: each session gives the next one's"
for ((round = 0; round < 3; round++)); do
	AUTH=(--key-file "$K" --tag "$tag")
	start
	[[ $(sha256sum <"$M/file") == "$sum" ]] || fail "other bytes"
	echo "$round" >"$M/round"
	stop
	want_error 4 '' "$FSPF" verify "$V" --key-file "$K" --tag "$tag"
	tag=$TAG
done

note "umount(8) and fusermount3 end it as well; the volume is whole"
AUTH=(--key-file "$K" --no-rollback-protection)
start
echo by-umount >"$M/how"
umount "$M"
wait "$DAEMON" || fail "the daemon failed after umount(8)"
DAEMON=''
start
[[ $(cat "$M/how") == by-umount ]] || fail "other contents"
stop

note "errors"
want_error 1,2 '' "$FSPF" umount "$M"
want_error 1,2 '' "$FSPF" umount "$T/nowhere"
want_error 1,2 '' "$FSPF" umount /
want 2 '' "$FSPF" umount

note "busy: an open file keeps the mount, and it can be tried again"
start
exec 7>"$M/open"
want_error 1,6 '' "$FSPF" umount "$M"
mountpoint -q "$M" || fail "gone although busy"
echo still >&7
exec 7>&-
stop
AUTH=(--key-file "$K" --tag "$TAG")
verify_clean
pass
