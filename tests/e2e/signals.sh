#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ctrl-C, SIGTERM and SIGHUP end the foreground daemon in order: everything committed, unmounted,
# status 0, tag published.
source "$(dirname "$0")/lib.sh"
need_mount

make_volume
for signal in INT TERM HUP; do
	"$FSPF" keygen >/dev/null
	# A job in the background ignores SIGINT unless it has job control.
	set -m
	start
	set +m
	head -c 3000000 /dev/urandom >"$M/file_$signal"
	sum=$(sha256sum <"$M/file_$signal")
	kill "-$signal" "$DAEMON"
	status=0
	wait "$DAEMON" || status=$?
	DAEMON=''
	[[ $status -eq 0 ]] || fail "SIG$signal: status $status"
	! mountpoint -q "$M" || fail "SIG$signal: still mounted"
	verify_clean
	start
	[[ $(sha256sum <"$M/file_$signal") == "$sum" ]] || fail "SIG$signal: other bytes"
	stop
done
pass
