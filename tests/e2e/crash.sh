#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# The daemon is killed with SIGKILL at random moments: under load, while it closes, and just after
# it has mounted.  Each time the volume opens with its tag file, verify finds nothing, and all that
# fsync had acknowledged, in this round and the ones before, is whole.
source "$(dirname "$0")/lib.sh"
need_mount

random_sleep() { sleep "$(printf '0.%03d' $((RANDOM % ${1:-1000})))"; } # below so many ms

# In a process group of its own, so that it can be ended with its workers.
load() {
	setsid python3 "$E2E/crash.py" load "$M/round_$1" "$T/acks_$1" "$((SEED + $1))" 2>/dev/null &
	LOAD=$!
}

end_load() {
	[[ -n $LOAD ]] || return 0
	kill -9 -- "-$LOAD" 2>/dev/null || true
	wait "$LOAD" 2>/dev/null || true
	LOAD=''
}

check_round() {
	python3 "$E2E/crash.py" check "$M/round_$1" "$T/acks_$1" "$((SEED + $1))" >"$T/check" 2>&1 || {
		cat "$T/check"
		fail "round $1: something that was acknowledged is not there"
	}
	tail -1 "$T/check"
}

LOAD=''
make_volume
rounds=$(pick 24 6)
for ((round = 1; round <= rounds; round++)); do
	start
	case $((round % 6)) in
	3) how="right after the mount" ;;
	4)
		how="while it closes"
		load "$round"
		sleep 0.2
		random_sleep 800
		end_load
		(exec "$FSPF" umount "$M" >/dev/null 2>&1) &
		random_sleep 60
		;;
	*)
		how="under load"
		load "$round"
		sleep 0.2
		random_sleep 1000
		[[ $((round % 3)) != 0 ]] || random_sleep 1000
		;;
	esac
	crash
	end_load
	umount -l "$M" 2>/dev/null || true
	note "round $round: killed $how"
	verify_clean
	start
	for ((old = round > 4 ? round - 4 : 1; old <= round; old++)); do
		[[ ! -d $T/acks_$old ]] || check_round "$old"
	done
	if [[ $((round % 3)) == 0 ]]; then
		stop
		start
		[[ ! -d $T/acks_$round ]] || check_round "$round"
	fi
	echo "still writable" >"$M/marker"
	stop
done
verify_clean
[[ $(cat "$T"/acks_*/* | wc -l) -gt $((rounds * 20)) ]] || fail "the load did next to nothing"
pass
