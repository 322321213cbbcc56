#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# This project's own sources are configured and compiled in the mount; what was built runs, and an
# incremental build after a remount has nothing to do.
source "$(dirname "$0")/lib.sh"
need_mount
need cmake ninja cc

make_volume
start
mkdir "$M/source"
tar -C "$ROOT" --exclude=./build --exclude=./.git -cf - . | tar -C "$M/source" -xf -
cmake -S "$M/source" -B "$M/build" -G Ninja -DCMAKE_BUILD_TYPE=Debug -DBUILD_TESTING=OFF >"$T/log" 2>&1 ||
	fail "configure: $(tail -5 "$T/log")"
cmake --build "$M/build" >"$T/log" 2>&1 || fail "build: $(tail -20 "$T/log")"
built=$(find "$M/build" -type f -perm -100 -name fspf)
want 0 '' "$built" --help
stop
start
cmake --build "$M/build" -- -d explain >"$T/log" 2>&1 || fail "second build: $(tail -20 "$T/log")"
grep -q 'no work to do' "$T/log" || fail "times did not survive: $(grep explain "$T/log" | head -5)"
want 0 '' "$built" --help
stop
verify_clean
pass
