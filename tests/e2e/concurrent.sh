#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sixteen writers at once: each finds what it wrote, while they run and after a remount, and fsyncs
# from all of them go on beside it.
source "$(dirname "$0")/lib.sh"
need_mount
need cc
helper stress

make_volume
start
mkdir "$M/load"
"$T/stress" run "$M/load" "$(pick 20 5)" 16 "$SEED" "$T/state" || fail "while running"
"$T/stress" check "$M/load" "$T/state" || fail "before the remount"
restart
"$T/stress" check "$M/load" "$T/state" || fail "after the remount"

note "sixteen writers of one large file each, with fsync"
for ((i = 0; i < 16; i++)); do
	dd if=/dev/urandom of="$T/large_$i" bs=1M count=4 status=none
	dd if="$T/large_$i" of="$M/large_$i" bs=64k conv=fsync status=none &
	writers[i]=$!
done
for ((i = 0; i < 16; i++)); do wait "${writers[i]}" || fail "a writer failed"; done
restart
for ((i = 0; i < 16; i++)); do cmp "$T/large_$i" "$M/large_$i" || fail "large_$i differs"; done
stop
verify_clean
pass
