#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# What was written is there after each of several remounts, inode numbers stay, every session gives
# another tag, and a mount that changes nothing the user can see still opens with its tag.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
declare -A seen=()
for ((round = 1; round <= 5; round++)); do
	start
	for ((old = 1; old < round; old++)); do
		[[ $(cat "$M/file_$old") == "contents $old" ]] || fail "file_$old is not what it was"
		[[ $(stat -c %i "$M/file_$old") == "${inode[old]}" ]] || fail "file_$old has another inode number"
	done
	echo "contents $round" >"$M/file_$round"
	inode[round]=$(stat -c %i "$M/file_$round")
	dd if=/dev/urandom of="$M/grows" bs=100000 count=1 oflag=append conv=notrunc status=none
	sum=$(sha256sum <"$M/grows")
	stop
	[[ -z ${seen[$TAG]:-} ]] || fail "the tag of round $round was seen before"
	seen[$TAG]=1
	[[ $(cat "$G") == "$TAG" ]] || fail "the tag file does not hold the tag that umount printed"
	[[ $(tag_of) == "$TAG" ]] || fail "fspf tag prints another tag than umount did"
	start
	[[ $(sha256sum <"$M/grows") == "$sum" ]] || fail "round $round: other bytes"
	stop
done

note "one mount: files by file handle, times, and a name removed and made again"
start
echo one >"$M/again"
first=$(stat -c %i "$M/again")
rm "$M/again"
echo two >"$M/again"
[[ $(stat -c %i "$M/again") != "$first" ]] || fail "an inode number was used again"
restart
[[ $(cat "$M/again") == two ]] || fail "the old file came back"
stop
verify_clean
pass
