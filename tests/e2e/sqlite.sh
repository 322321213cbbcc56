#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# SQLite in the mount, with a rollback journal and with a write-ahead log: the daemon is killed
# during transactions; the database passes its integrity check and holds every transaction whose
# commit had returned.  Two processes share a database (locks, shared memory).
source "$(dirname "$0")/lib.sh"
need_mount
need sqlite3

make_volume
for journal in delete wal truncate; do
	for ((round = 1; round <= $(pick 4 1); round++)); do
		start
		python3 "$E2E/sqlite.py" load "$M/$journal.db" "$journal" "$T/acks_$journal" >/dev/null 2>&1 &
		LOAD=$!
		sleep "1.$((RANDOM % 900 + 100))"
		crash
		kill -9 "$LOAD" 2>/dev/null || true
		wait "$LOAD" 2>/dev/null || true
		umount -l "$M" 2>/dev/null || true
		start
		note "$journal, round $round"
		python3 "$E2E/sqlite.py" check "$M/$journal.db" "$T/acks_$journal" || fail "$journal: after the crash"
		stop
	done
	[[ -s $T/acks_$journal ]] || fail "$journal: no transaction was committed"
done
verify_clean

note "two processes, one database"
start
pids=()
sqlite3 "$M/two.db" 'pragma journal_mode=wal; create table t (who text, n integer);' >/dev/null
for who in one two; do
	for ((i = 0; i < $(pick 60 20); i++)); do
		echo "pragma busy_timeout=20000; insert into t values ('$who', $i);"
	done | sqlite3 "$M/two.db" >/dev/null &
	pids+=("$!")
done
for pid in "${pids[@]}"; do wait "$pid" || fail "a writer failed"; done
[[ $(sqlite3 "$M/two.db" 'select count(*) from t') == $(pick 120 40) ]] || fail "rows are missing"
[[ $(sqlite3 "$M/two.db" 'pragma integrity_check') == ok ]] || fail "integrity_check"
sqlite3 "$M/two.db" 'pragma mmap_size=100000000; select count(*) from t; vacuum;' >/dev/null || fail "mmap, vacuum"
restart
[[ $(sqlite3 "$M/two.db" 'pragma integrity_check') == ok ]] || fail "integrity_check after a remount"
stop
pass
