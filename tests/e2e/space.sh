#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A tree of many small files takes at most 5 % more than on ext4, a large file at most 2 % more than
# its length, and what is deleted gives its space back.
source "$(dirname "$0")/lib.sh"
need_mount
loop_mount 1G "$T/ext4"
tree make "$T/tree" "$(pick 8000 2000)" "$SEED"

bytes_of() { du -s --block-size=1 "$1" | cut -f1; }

cp -a "$T/tree" "$T/ext4/tree"
sync -f "$T/ext4"
ext4=$(bytes_of "$T/ext4/tree")

make_volume
start
cp -a "$T/tree" "$M/tree"
stop
ours=$(bytes_of "$V")
note "the tree: ext4 $ext4, fspf $ours bytes"
[[ $((ours * 100)) -le $((ext4 * 105)) ]] || fail "more than 5 % over ext4: $ours to $ext4"

start
rm -rf "$M/tree"
stop
rest=$(bytes_of "$V")
note "deleted: $rest bytes"
[[ $rest -le $((8 << 20)) ]] || fail "deleting the tree left $rest bytes"

make_volume
start
size=$(pick $((256 << 20)) $((64 << 20)))
head -c "$size" /dev/urandom >"$M/large"
stop
ours=$(bytes_of "$V")
note "a file of $size: $ours bytes"
[[ $((ours * 100)) -le $((size * 102)) ]] || fail "more than 2 % over the data: $ours to $size"

note "holes take no room"
make_volume
start
truncate -s 1T "$M/hole"
echo end >>"$M/hole"
[[ $(stat -c %b "$M/hole") -lt 1000 ]] || fail "a hole has blocks"
stop
[[ $(bytes_of "$V") -le $((4 << 20)) ]] || fail "a hole takes $(bytes_of "$V") bytes"
pass
