#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A volume on a read-only file system mounts read-only, can be verified, exported and shown; every
# change is EROFS; not a byte of the volume changes.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
tree make "$T/tree" 200 "$SEED"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" /tree "$T/tree"
before=$(volume_sums)

mkdir "$T/ro"
mount --bind "$V" "$T/ro"
mount -o remount,bind,ro "$T/ro"
! touch "$T/ro/probe" 2>/dev/null || fail "the bind mount is not read-only"
HOST=$V
V=$T/ro

note "without -o ro: an error or a read-only mount, and no harm"
run "$FSPF" mount "$V" "$M" "${AUTH[@]}"
[[ $STATUS -ne 0 ]] || want 0 '' "$FSPF" umount "$M"

start -o ro
tree compare "$T/tree" "$M/tree" || fail "differs"
for change in "touch $M/new" "rm $M/tree" "mkdir $M/d" "chmod 700 $M/tree" "ln -s x $M/l"; do
	run $change
	[[ $STATUS -ne 0 ]] || fail "a read-only mount let through: $change"
done
run touch "$M/new"
grep -q 'Read-only file system' "$T/err" || fail "not EROFS: $(cat "$T/err")"
stop
verify_clean
want 0 '' "$FSPF" export "$V" "${AUTH[@]}" /tree "$T/exported"
tree compare "$T/tree" "$T/exported" || fail "export differs"
want 0 '' "$FSPF" show "$V" "${AUTH[@]}"
want_error 1,6 '' "$FSPF" addf "$V" "${AUTH[@]}" /x /etc/hostname
V=$HOST
[[ $(volume_sums) == "$before" ]] || fail "the volume's bytes changed"

if loop_ok=$(losetup -f 2>/dev/null) && [[ -n $loop_ok ]]; then
	note "on a read-only loop mount"
	loop_mount 300M "$T/disk"
	cp -a "$V" "$T/disk/volume"
	mount -o remount,ro "$T/disk"
	V=$T/disk/volume
	start -o ro
	tree compare "$T/tree" "$M/tree" || fail "differs"
	stop
fi
pass
