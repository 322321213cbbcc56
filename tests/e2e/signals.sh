#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# Ctrl-C, SIGTERM and SIGHUP end the foreground daemon in order: everything committed, unmounted,
# status 0, tag published.  Killed while it does so, with files open whose changes the kernel still
# holds, it is gone all the same, and nobody is left waiting.
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

cat >"$T/holder.py" <<'END'
import os, sys, time
files = [open("%s/open_%d" % (sys.argv[1], i), "wb") for i in range(2000)]
for f in files:
    os.write(f.fileno(), b"x" * 3000)
print("ready", flush=True)
time.sleep(60)
END
ulimit -n 4096
for ((round = 0; round < $(pick 10 4); round++)); do
	start
	python3 "$T/holder.py" "$M" >"$T/ready" &
	holder=$!
	until grep -q ready "$T/ready"; do sleep 0.02; done
	kill -TERM "$DAEMON"
	sleep "0.0$((RANDOM % 90 + 10))"
	kill -9 "$DAEMON" 2>/dev/null || true
	for ((i = 0; i < 200; i++)); do
		state=$(awk '{print $3}' "/proc/$DAEMON/stat" 2>/dev/null) || break
		[[ $state != Z ]] || break
		sleep 0.05
	done
	[[ $i -lt 200 ]] || fail "killed while it ends, the daemon hangs: $(head -3 "/proc/$DAEMON/stack")"
	kill -9 "$holder"
	wait "$holder" 2>/dev/null || true
	wait "$DAEMON" 2>/dev/null || true
	DAEMON=''
	umount -l "$M" 2>/dev/null || true
done
verify_clean
pass
