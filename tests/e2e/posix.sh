#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
#
# A table of what POSIX and Linux promise of a file system (posix.py), on the mount and first on
# ext4 and tmpfs: a case that fails on both of those is the case's fault and does not count.
source "$(dirname "$0")/lib.sh"
need_mount

reference() { # NAME DIR
	mkdir "$2/cases"
	python3 "$E2E/posix.py" "$2/cases" >"$T/$1.result" 2>"$T/err" || true
}
mkdir "$T/tmpfs"
mount -t tmpfs none "$T/tmpfs"
reference tmpfs "$T/tmpfs"
umount "$T/tmpfs"
(loop_mount 800M "$T/ext4" -N 150000) >/dev/null 2>&1 || true
if mountpoint -q "$T/ext4"; then
	reference ext4 "$T/ext4"
	umount "$T/ext4"
else
	cp "$T/tmpfs.result" "$T/ext4.result"
fi

failed_on() { sed -n 's/^FAILED \([a-z0-9_]*\):.*/\1/p' "$T/$1.result" | sort; }

make_volume
start
mkdir "$M/cases"
python3 "$E2E/posix.py" "$M/cases" >"$T/fspf.result" 2>"$T/err" || true
grep '^skipped' "$T/fspf.result" | sed 's/^/# /' || true
[[ $(grep -c '^ok' "$T/fspf.result") -gt 60 ]] || fail "the table did not run: $(tail -3 "$T/fspf.result")"
[[ $(comm -12 <(failed_on ext4) <(failed_on tmpfs) | wc -l) -le 3 ]] ||
	fail "the table does not hold on the references: $(grep '^FAILED' "$T/ext4.result" | head -3)"
wrong=0
for name in $(failed_on fspf); do
	if grep -qx "$name" <(comm -12 <(failed_on ext4) <(failed_on tmpfs)); then
		note "$name: fails on the references too: $(grep "^FAILED $name:" "$T/ext4.result")"
	else
		grep "^FAILED $name:" "$T/fspf.result"
		wrong=$((wrong + 1))
	fi
done
note "$(grep -c '^ok' "$T/fspf.result") cases hold; references: $(grep -c '^ok' "$T/ext4.result"), $(grep -c '^ok' "$T/tmpfs.result")"
stop
verify_clean
[[ $wrong -eq 0 ]] || fail "$wrong cases fail that hold on ext4 or tmpfs; one alone: posix.py DIR NAME"
pass
