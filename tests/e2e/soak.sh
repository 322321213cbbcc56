#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Sixteen threads of mixed load with a small memory for dirty data, so that commits run beside them
# all the time, for E2E_SECONDS.  Meant for the sanitizer builds: whatever they report fails it.
source "$(dirname "$0")/lib.sh"
need_mount
need cc
helper stress
SECONDS_OF_LOAD=${E2E_SECONDS:-$(pick 120 10)}

make_volume
start
mkdir "$M/load"
# Somebody who lists, stats and asks for the state all the while.
(while sleep 0.3; do
	find "$M/load" -newer "$K" -size +1 >/dev/null 2>&1 || true # names come and go
	df "$M" >/dev/null
	sync -f "$M"
done) &
WATCHER=$!
"$T/stress" run "$M/load" "$SECONDS_OF_LOAD" 16 "$SEED" "$T/state" || fail "while running"
kill "$WATCHER"
wait "$WATCHER" 2>/dev/null || true
restart
"$T/stress" check "$M/load" "$T/state" || fail "after the remount"
stop
verify_clean
pass
