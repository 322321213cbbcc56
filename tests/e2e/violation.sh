#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A block that does not verify is EIO and the rest goes on; with on_violation=abort it is the end:
# the reader gets EIO, nobody gets anything after it, the mount goes away, nothing is committed or
# published any more, and the daemon, or the run with its command, ends with status 3.
source "$(dirname "$0")/lib.sh"
need_mount

# What lies in an authenticated region can be found in the store, and be spoilt there.
make_volume
want 0 '' "$FSPF" addr "$V" "${AUTH[@]}" "$T/r" --authenticated
mkdir "$T/source" "$T/r"
for ((i = 0; i < 2000; i++)); do echo "the bytes that the host will change $i"; done >"$T/source/bad"
head -c 300000 /dev/urandom >"$T/source/good"
want 0 '' "$FSPF" addf "$V" "${AUTH[@]}" "$T/r" "$T/source"
rm "$T/source/bad"
cp -a "$V" "$T/whole"

spoil() {
	python3 - "$V" <<'END'
import os, sys
found = 0
for directory, _, names in os.walk(sys.argv[1]):
    for name in names:
        with open(os.path.join(directory, name), "r+b") as f:
            data = f.read()
            at = data.find(b"the host will change 1000\n")
            if at >= 0:
                f.seek(at)
                f.write(b"the HOST")
                found += 1
sys.exit(found != 1)
END
}

repair() {
	rm -rf "$V"
	cp -a "$T/whole" "$V"
	printf '%s\n' "$ORIGINAL" >"$G"
}

ended_in_time() { # PID
	local i
	for ((i = 0; i < 400; i++)); do
		[[ -e /proc/$1 && $(awk '{print $3}' "/proc/$1/stat" 2>/dev/null) != Z ]] || return 0
		sleep 0.05
	done
	fail "the daemon does not end"
}

ORIGINAL=$(cat "$G")
D=$M$T/r

note "without: EIO, and the rest goes on"
start
spoil || fail "the bytes are not in the store"
! cat "$D/bad" >"$T/out" 2>"$T/err" || fail "spoilt bytes were given out"
grep -q 'Input/output error' "$T/err" || fail "not EIO: $(cat "$T/err")"
cmp "$D/good" "$T/source/good" || fail "a file beside it cannot be read"
echo later >"$M/later"
stop
repair

note "on_violation=abort: the daemon, with files open, one of them written to meanwhile"
for write in no yes; do
	start -o on_violation=abort,commit=3600
	cmp "$D/good" "$T/source/good" || fail "it cannot be read"
	echo before >"$M/before" && sync "$M/before"
	published=$(cat "$G")
	echo after >"$M/after"
	exec 7<"$D/good" 8>"$M/open"
	spoil || fail "the bytes are not in the store"
	! cat "$D/bad" >"$T/out" 2>"$T/err" || fail "spoilt bytes were given out"
	grep -q 'Input/output error' "$T/err" || fail "not EIO: $(cat "$T/err")"
	[[ $write == no ]] || echo more >&8 2>/dev/null || true
	! cat "$M/before" >"$T/out" 2>/dev/null || [[ $(cat "$T/out") == before ]] || fail "other bytes"
	! ls "$M/unknown" 2>"$T/err" || fail "it is there"
	ended_in_time "$DAEMON"
	status=0
	wait "$DAEMON" || status=$?
	DAEMON=''
	exec 7<&-
	{ exec 8>&-; } 2>/dev/null || true
	[[ $status == 3 ]] || fail "the daemon ended with status $status"
	! mountpoint -q "$M" || fail "still mounted"
	grep -q 'does not verify' "$T/daemon.log" || fail "no reason in the log"
	grep -q 'on_violation=abort' "$T/daemon.log" || fail "not said that this is the end"
	[[ $(cat "$G") == "$published" ]] || fail "something was published after the violation"
	want 0 "$published" "$FSPF" tag "$V" --key-file "$K"
	start
	[[ $(cat "$M/before") == before ]] || fail "what was published is lost"
	[[ ! -e $M/after ]] || fail "what came after the violation was committed"
	stop
	repair
done

note "readers and writers at the time of it"
start -o on_violation=abort
(while cat "$D/good" >/dev/null 2>&1; do :; done) &
readers=$!
(i=0; while echo $((i++)) >"$M/counter"; do :; done) 2>/dev/null &
readers+=" $!"
sleep 0.3
spoil
(head -c 4096 "$D/bad"; cat "$D/bad") >"$T/out" 2>&1 && fail "spoilt bytes were given out"
ended_in_time "$DAEMON"
status=0
wait "$DAEMON" || status=$?
DAEMON=''
# shellcheck disable=SC2086 # two of them
wait $readers 2>/dev/null || true
[[ $status == 3 ]] || fail "the daemon ended with status $status"
! mountpoint -q "$M" || fail "still mounted"
repair

note "fspf run"
spoil
want 1 '' "$FSPF" run "$V" "${AUTH[@]}" --no-root -- sh -c "! cat $T/r/bad || exit 7; cat $T/r/good >/dev/null; exit 1"
repair
spoil
want 3 'does not verify' timeout -s KILL 60 "$FSPF" run "$V" "${AUTH[@]}" --no-root -o on_violation=abort -- \
	sh -c "cat $T/r/bad; sleep 30; echo too late >$T/late"
[[ ! -e $T/late ]] || fail "the command went on"
repair
want 0 '' "$FSPF" run "$V" "${AUTH[@]}" --no-root -o on_violation=abort -- sh -c "cat $T/r/bad $T/r/good >/dev/null"

note "mistakes"
want_error 2 'on_violation' "$FSPF" mount "$V" "$M" "${AUTH[@]}" -o on_violation=ignore
pass
